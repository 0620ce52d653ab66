"""
Writes the tables from what is measured. Each takes seconds and computes only summaries.

    tabulate                 table 2, the result of the study
    tabulate_arms            the other tables of arms: table 1, its controls, other families of networks
    tabulate_gap             direct training or transfer, with images (`gap`) and genomic sequences (`genomics`)
    tabulate_spurious        average and worst group's accuracy where a feature is spurious
    tabulate_width           accuracy against dimensions: features reduced to each of several widths
    tabulate_grid            every number of members at every number of steps
    tabulate_diagnostics     what the members of each arm contribute
    tabulate_counterexample  what the counterexample's networks keep, and what probes on their features solve

Input   the metrics or predictions of every cell (arm on data set) of the table, whose arms the config lists; the
        diagnostics of cells; the counterexample's networks.
Output  results/{table}.csv              one line per arm (in some tables, per arm and data set or selection)
        results/{table}.contrasts.csv    each arm minus the baseline, with its interval
        results/{table}.md, .tex, .svg   the table for readers, and the figure; not every table has all of them
        results/metrics.parquet          all metrics of table 2, in long form

Only table 2 is made by default; each other table is made when one of its files is requested. Arms that several tables share
are probed once.
"""

table2 = paths.table.at(table="table2")
spurious = paths.table.at(table="spurious")
width = paths.table.at(table="width")
grid = paths.table.at(table="grid")
diagnostics = paths.table.at(table="diagnostics")
counterexample = paths.table.at(table="counterexample")

FURTHER_TABLES.append(counterexample.csv)


rule tabulate:
    """Write table 2: mean, standard deviation and number of replicates, for both selections."""
    input:
        code=code_of("tabulate"),
        probes=of_table(study.inputs.metrics, "table2"),
        references=of_table(study.inputs.references, "table2"),
        predictions=ancient(of_table(study.inputs.predictions, "table2")),
        predictions_sidecars=of_table(study.inputs.predictions_sidecars, "table2"),
    output:
        csv=table2.csv,
        contrasts=table2.contrasts,
        markdown=table2.markdown,
        tex=table2.tex,
        svg=table2.svg,
        metrics=paths.metrics,
    log:
        paths.log("tabulate"),
    benchmark:
        paths.benchmark("tabulate")
    localrule: True
    params:
        cells=of_table(study.table_params.cells, "table2"),
        references=of_table(study.table_params.references, "table2"),
        ceilings=of_table(study.table_params.known_ceilings, "table2"),
        arms=of_table(study.table_params.compared_rows, "table2"),
        baseline=of_table(study.table_params.baseline, "table2"),
        data_sets=of_table(study.table_params.columns, "table2"),
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate"
        " --probes {input.probes:q}"
        " --predictions {input.predictions:q}"
        " --cells {params.cells:q}"
        " --references {input.references:q}"
        " --reference-cells {params.references:q}"
        " --ceilings {params.ceilings:q}"
        " --arms {params.arms:q}"
        " --baseline {params.baseline}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --contrasts {output.contrasts:q}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --tex {output.tex:q}"
        " --svg {output.svg:q}"
        " --metrics {output.metrics:q}"
        " 2> {log:q}"


rule tabulate_arms:
    """Write a table of arms like table 2, with the number of parameters, and published figures beside measured ones."""
    input:
        code=code_of("tabulate_arms"),
        probes=study.inputs.metrics,
        references=study.inputs.references,
        predictions=ancient(study.inputs.predictions),
        predictions_sidecars=study.inputs.predictions_sidecars,
    output:
        csv=paths.table.csv,
        contrasts=paths.table.contrasts,
        markdown=paths.table.markdown,
        tex=paths.table.tex,
        svg=paths.table.svg,
    log:
        paths.log("tabulate_arms"),
    benchmark:
        paths.benchmark("tabulate_arms")
    wildcard_constraints:
        table=study.patterns["table"],
    localrule: True
    params:
        cells=study.table_params.cells,
        references=study.table_params.references,
        ceilings=study.table_params.known_ceilings,
        arms=study.table_params.rows_with_networks,
        baseline=study.table_params.baseline,
        image_size=study.table_params.image_size,
        data_sets=study.table_params.columns,
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_arms"
        " --table {wildcards.table}"
        " --baseline {params.baseline}"
        " --probes {input.probes:q}"
        " --predictions {input.predictions:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --image-size {params.image_size}"
        " --csv {output.csv:q}"
        " --contrasts {output.contrasts:q}"
        " --markdown {output.markdown:q}"
        " --tex {output.tex:q}"
        " --svg {output.svg:q}"
        " --references {input.references:q}"
        " --reference-cells {params.references:q}"
        " --ceilings {params.ceilings:q}"
        " 2> {log:q}"


rule tabulate_gap:
    """Write a table of gaps: each arm's metric minus that of direct training, on each component of the mixture that
    backbones were pretrained on, and on the mean of the components.
    """
    input:
        code=code_of("tabulate_gap"),
        probes=study.inputs.metrics,
        references=study.inputs.references,
        reference_predictions=ancient(study.inputs.reference_predictions),
        reference_sidecars=study.inputs.reference_predictions_sidecars,
        predictions=ancient(study.inputs.predictions),
        predictions_sidecars=study.inputs.predictions_sidecars,
    output:
        csv=paths.table.csv,
        contrasts=paths.table.contrasts,
        markdown=paths.table.markdown,
        svg=paths.table.svg,
    log:
        paths.log("tabulate_gap"),
    benchmark:
        paths.benchmark("tabulate_gap")
    wildcard_constraints:
        table=study.patterns["gap_table"],
    localrule: True
    params:
        cells=study.table_params.cells,
        references=study.table_params.references,
        arms=study.table_params.rows,
        data_sets=study.table_params.columns,
        metric=study.table_params.metric,
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_gap"
        " --probes {input.probes:q}"
        " --predictions {input.predictions:q}"
        " --references {input.references:q}"
        " --reference-predictions {input.reference_predictions:q}"
        " --reference-cells {params.references:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --metric {params.metric}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --contrasts {output.contrasts:q}"
        " --markdown {output.markdown:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"


rule tabulate_spurious:
    """Write the table of worst groups: mean and deviation over replicates, both selections, published figures, contrasts."""
    input:
        code=code_of("tabulate_spurious"),
        probes=of_table(study.inputs.metrics, "spurious"),
        references=of_table(study.inputs.references, "spurious"),
        reference_predictions=ancient(
            of_table(study.inputs.reference_predictions, "spurious")
        ),
        reference_sidecars=of_table(
            study.inputs.reference_predictions_sidecars, "spurious"
        ),
        predictions=ancient(of_table(study.inputs.predictions, "spurious")),
        predictions_sidecars=of_table(study.inputs.predictions_sidecars, "spurious"),
        indices=ancient(of_table(study.inputs.evaluation_indices, "spurious")),
    output:
        csv=spurious.csv,
        contrasts=spurious.contrasts,
        markdown=spurious.markdown,
        svg=spurious.svg,
    log:
        paths.log("tabulate_spurious"),
    benchmark:
        paths.benchmark("tabulate_spurious")
    localrule: True
    params:
        cells=of_table(study.table_params.cells, "spurious"),
        references=of_table(study.table_params.references, "spurious"),
        baseline=of_table(study.table_params.baseline, "spurious"),
        arms=of_table(study.table_params.rows, "spurious"),
        data_sets=of_table(study.table_params.columns, "spurious"),
        groups=study.table_params.groups,
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_spurious"
        " --probes {input.probes:q}"
        " --predictions {input.predictions:q}"
        " --references {input.references:q}"
        " --reference-predictions {input.reference_predictions:q}"
        " --reference-cells {params.references:q}"
        " --baseline {params.baseline}"
        " --indices {input.indices:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --groups {params.groups:q}"
        " --style {params.style:q}"
        " --contrasts {output.contrasts:q}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"


rule tabulate_width:
    """Write accuracy against dimensions, a line per arm and width, compared with the baseline reduced in the same way."""
    input:
        code=code_of("tabulate_width"),
        probes=of_table(study.inputs.metrics, "width"),
        references=of_table(study.inputs.references, "width"),
        predictions=ancient(of_table(study.inputs.predictions, "width")),
        predictions_sidecars=of_table(study.inputs.predictions_sidecars, "width"),
    output:
        csv=width.csv,
        contrasts=width.contrasts,
        markdown=width.markdown,
        tex=width.tex,
        svg=width.svg,
    log:
        paths.log("tabulate_width"),
    benchmark:
        paths.benchmark("tabulate_width")
    localrule: True
    params:
        cells=of_table(study.table_params.cells, "width"),
        references=of_table(study.table_params.references, "width"),
        ceilings=of_table(study.table_params.known_ceilings, "width"),
        arms=study.table_params.width_rows,
        baseline=of_table(study.table_params.baseline, "width"),
        data_sets=of_table(study.table_params.columns, "width"),
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_width"
        " --arms {params.arms:q}"
        " --baseline {params.baseline}"
        " --cells {params.cells:q}"
        " --probes {input.probes:q}"
        " --predictions {input.predictions:q}"
        " --reference-cells {params.references:q}"
        " --references {input.references:q}"
        " --ceilings {params.ceilings:q}"
        " --data-sets {params.data_sets:q}"
        " --csv {output.csv:q}"
        " --style {params.style:q}"
        " --contrasts {output.contrasts:q}"
        " --svg {output.svg:q}"
        " --markdown {output.markdown:q}"
        " --tex {output.tex:q}"
        " 2> {log:q}"


rule tabulate_grid:
    """Write the grid, a line per number of members and of steps. The figure frames the rows of table 2."""
    input:
        code=code_of("tabulate_grid"),
        probes=of_table(study.inputs.metrics, "grid"),
        references=of_table(study.inputs.references, "grid"),
    output:
        csv=grid.csv,
        svg=grid.svg,
    log:
        paths.log("tabulate_grid"),
    benchmark:
        paths.benchmark("tabulate_grid")
    localrule: True
    params:
        cells=of_table(study.table_params.cells, "grid"),
        references=of_table(study.table_params.references, "grid"),
        arms=study.table_params.grid_rows,
        data_sets=of_table(study.table_params.columns, "grid"),
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_grid"
        " --cells {params.cells:q}"
        " --references {input.references:q}"
        " --reference-cells {params.references:q}"
        " --probes {input.probes:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q} --svg {output.svg:q}"
        " 2> {log:q}"


rule tabulate_diagnostics:
    """Write the diagnostics of all arms with more than one member, on every target that has a probe: number of replicates,
    mean, standard deviation, minimum and maximum of each quantity."""
    input:
        code=code_of("tabulate_diagnostics"),
        diagnostics=study.inputs.diagnoses,
    output:
        csv=diagnostics.csv,
        svg=diagnostics.svg,
    log:
        paths.log("tabulate_diagnostics"),
    benchmark:
        paths.benchmark("tabulate_diagnostics")
    localrule: True
    params:
        cells=study.table_params.diagnosed_cells,
        arms=of_table(study.table_params.rows, "table2"),
        data_sets=of_table(study.table_params.columns, "table2"),
        style=study.table_params.style,
    shell:
        "python -m workflow_scripts.tabulate_diagnostics"
        " --diagnostics {input.diagnostics:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q} --svg {output.svg:q}"
        " 2> {log:q}"


rule tabulate_counterexample:
    """Write the table of the counterexample: the exact optimum, then a line per network, weight decay and learning rate, with
    the mean over mixtures and the standard deviation over seeds."""
    input:
        code=code_of("tabulate_counterexample"),
        runs=paths.counterexample.runs,
        together=paths.counterexample.together,
    output:
        csv=counterexample.csv,
        svg=counterexample.svg,
    log:
        paths.log("tabulate_counterexample"),
    benchmark:
        paths.benchmark("tabulate_counterexample")
    localrule: True
    params:
        settings=study.params.counterexample,
    shell:
        "python -m workflow_scripts.tabulate_counterexample"
        " --runs {input.runs:q}"
        " --together {input.together:q}"
        " --settings {params.settings:q}"
        " --csv {output.csv:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
