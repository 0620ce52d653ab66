"""
Direct or transferred? Tables of gaps: of images (`gap`) and of genomic sequences (`genomics`).

Input   the predictions of every arm of the table on every component of the mixture that backbones were pretrained on:
        probes, fine-tuning, and training on the component directly. The config's blocks `gap` and `genomics` list them.
Output  results/{table}.csv   of each arm on each component, and on their mean: the metric, and how far the arm stays behind
                              direct training, with the 95 % interval over replicates; published figures beside them
        results/{table}.md    the same for readers, selection `holdout`
        results/{table}.svg   the figure

No part of table 2: made when a file of them is asked for.
"""


rule tabulate_gap:
    """One table."""
    input:
        code=code_of("tabulate_gap"),
        predictions=ancient(study.arm_table_predictions),
        predictions_sidecars=study.arm_table_predictions_sidecars,
    output:
        csv="results/{table}.csv",
        markdown="results/{table}.md",
        svg="results/{table}.svg",
    log:
        "results/logs/tabulate_gap/{table}.log",
    benchmark:
        "results/benchmarks/tabulate_gap/{table}.tsv"
    wildcard_constraints:
        table=study.pattern("gap_table"),
    params:
        cells=study.arm_table_cells,
        arms=study.gap_arms,
        data_sets=study.table_data_sets,
        metric=study.gap_metric,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate_gap"
        " --predictions {input.predictions:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --metric {params.metric}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
