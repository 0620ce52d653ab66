"""
The diagnostics of all arms with more than one member, on every target that has a probe.

Input   the diagnostics of each such arm and target.
Output  results/diagnostics.csv  arm, data set, selection and quantity: replicates, mean, standard deviation, least, most
        results/diagnostics.svg  each member's block and the probe without it against the whole probe; CKA of the members
"""


rule tabulate_diagnostics:
    """What the members of each arm contribute."""
    input:
        code=code_of("tabulate_diagnostics"),
        diagnostics=study.diagnostics,
    output:
        csv="results/diagnostics.csv",
        svg="results/diagnostics.svg",
    log:
        "results/logs/tabulate_diagnostics/diagnostics.log",
    benchmark:
        "results/benchmarks/tabulate_diagnostics/diagnostics.tsv"
    params:
        cells=study.diagnostics_cells,
        arms=study.table_arms,
        data_sets=study.table_data_sets,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate_diagnostics"
        " --diagnostics {input.diagnostics:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q} --svg {output.svg:q}"
        " 2> {log:q}"
