"""
The tables of arms beside table 2: table 1, its controls, and other families of networks. Whatever they share with table 2 is probed once.

Input   the probe metrics of every arm of the table on every target; the config's block `table1`, `controls` or `families` lists them.
Output  results/{table}.csv, .md, .tex, .svg   parameters, mean, standard deviation and number of replicates, both
                                               selections, and published figures beside them

No part of table 2: made when a file of them is asked for.
"""


rule tabulate_arms:
    """One table."""
    input:
        code=code_of("tabulate_arms"),
        probes=study.arm_table_probes,
    output:
        csv="results/{table}.csv",
        markdown="results/{table}.md",
        tex="results/{table}.tex",
        svg="results/{table}.svg",
    log:
        "results/logs/tabulate_arms/{table}.log",
    benchmark:
        "results/benchmarks/tabulate_arms/{table}.tsv"
    wildcard_constraints:
        table=study.pattern("table"),
    params:
        cells=study.arm_table_cells,
        arms=study.arm_table_arms,
        image_size=study.source_image_size,
        data_sets=study.table_data_sets,
        style=study.table_style,
    shell:
        "python -m workflow_scripts.tabulate_arms"
        " --table {wildcards.table}"
        " --probes {input.probes:q}"
        " --cells {params.cells:q}"
        " --arms {params.arms:q}"
        " --data-sets {params.data_sets:q}"
        " --style {params.style:q}"
        " --image-size {params.image_size}"
        " --csv {output.csv:q}"
        " --markdown {output.markdown:q}"
        " --tex {output.tex:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
