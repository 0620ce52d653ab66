"""
The table and its figure.

Input   the probe metrics of every arm on every target.
Output  results/table2.csv, .md, .tex, .svg   mean, standard deviation and number of replicates, both selections
        results/metrics.parquet               everything, in long form
"""


rule tabulate:
    """Table 2 of the study."""
    input:
        code=code_of("tabulate"),
        probes=study.probes,
    output:
        csv="results/table2.csv",
        markdown="results/table2.md",
        tex="results/table2.tex",
        svg="results/table2.svg",
        metrics="results/metrics.parquet",
    log:
        "results/logs/tabulate/table2.log",
    benchmark:
        "results/benchmarks/tabulate/table2.tsv"
    params:
        cells=study.table_cells,
        arms=study.table_arms,
        data_sets=study.table_data_sets,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate"
        " --probes {input.probes:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --tex {output.tex:q}"
        " --svg {output.svg:q}"
        " --metrics {output.metrics:q}"
        " 2> {log:q}"
