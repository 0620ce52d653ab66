"""
The table and the figure of the counterexample (section 3 of the paper).

Input   what every trained network keeps, and what probes on concatenated features solve.
Output  results/counterexample.csv  the exact optimum, then a line per network, weight decay and learning rate: mean over
                                    mixtures, standard deviation over seeds
        results/counterexample.svg  what is best and what is kept over the mixtures; how often one feature is kept; how
                                    many distributions a probe solves

No part of table 2: made when a file of it is asked for.
"""


rule tabulate_counterexample:
    """The table of the study."""
    input:
        code=code_of("tabulate_counterexample"),
        runs="results/counterexample.parquet",
        together="results/counterexample_together.parquet",
    output:
        csv="results/counterexample.csv",
        svg="results/counterexample.svg",
    log:
        "results/logs/tabulate_counterexample/counterexample.log",
    benchmark:
        "results/benchmarks/tabulate_counterexample/counterexample.tsv"
    params:
        settings=study.counterexample_settings,
    shell:
        "python -m workflow_scripts.tabulate_counterexample"
        " --runs {input.runs:q}"
        " --together {input.together:q}"
        " --settings {params.settings:q}"
        " --csv {output.csv:q}"
        " --svg {output.svg:q}"
        " 2> {log:q}"
