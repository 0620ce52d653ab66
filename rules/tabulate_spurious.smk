"""
Spurious features: average and worst group's accuracy of every arm, on data sets with groups.

Input   the predictions of every arm of the config's block `spurious` on each of its data sets, and their evaluation indices.
Output  results/spurious.csv   arm, data set, selection: average accuracy and that of the worst group, mean and standard
                               deviation over replicates; published figures of worst groups beside them
        results/spurious.md    the same for readers, selection `holdout`
        results/spurious.svg   the figure

No part of table 2: made when a file of them is asked for.
"""


rule tabulate_spurious:
    """The table of the study."""
    input:
        code=code_of("tabulate_spurious"),
        predictions=ancient(study.spurious_predictions),
        predictions_sidecars=study.spurious_predictions_sidecars,
        indices=ancient(study.spurious_indices),
    output:
        csv="results/spurious.csv",
        markdown="results/spurious.md",
        svg="results/spurious.svg",
    log:
        "results/logs/tabulate_spurious/spurious.log",
    benchmark:
        "results/benchmarks/tabulate_spurious/spurious.tsv"
    params:
        cells=study.spurious_cells,
        arms=study.spurious_arms,
        data_sets=study.spurious_data_sets,
        groups=study.spurious_groups,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate_spurious"
        " --predictions {input.predictions:q}"
        " --indices {input.indices:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --groups {params.groups:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
