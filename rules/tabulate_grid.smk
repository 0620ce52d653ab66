"""
The grid: every number of members at every number of steps, from checkpoints and features that tables have anyway.

Input   the probe metrics of every cell on every target; the config's block `grid` says which.
Output  results/grid.csv   as of table 2, a line per number of members and of steps
        results/grid.svg   heat maps of the mean accuracy, both selections; rows of table 2 are framed

No part of table 2: made when a file of it is asked for.
"""


rule tabulate_grid:
    """The grid of the study."""
    input:
        code=code_of("tabulate_grid"),
        probes=study.grid_probes,
    output:
        csv="results/grid.csv",
        svg="results/grid.svg",
    log:
        "results/logs/tabulate_grid/grid.log",
    benchmark:
        "results/benchmarks/tabulate_grid/grid.tsv"
    params:
        cells=study.grid_cells,
        arms=study.grid_rows,
        data_sets=study.grid_data_sets,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate_grid"
        " --cells {params.cells:q}"
        " --probes {input.probes:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q} --svg {output.svg:q}"
        " 2> {log:q}"
