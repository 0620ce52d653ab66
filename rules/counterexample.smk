"""
The counterexample (section 3 of the paper): two features, four points, four distributions that one feature solves each.

Exact, by enumeration: the best linear classifier of every mixture of the four, the one feature that it takes, and which of
the four a probe on that feature solves. (Mixtures for which both are equally good are left out.) Measured: networks of each
of `networks` are trained by cross-entropy on every mixture, with every weight decay and learning rate, from every seed; how
many features they keep, and how many of the four a probe then solves, on one network and on the concatenated features of
`members` seeds. All seeds see the same rows; initial weights and order are theirs. A network keeps as many features as its hidden layer, at the four points, has singular values
of at least `threshold` times the greatest; a probe solves a distribution if it ends without an error on its points.

Input   none: the points are the paper's.
Output  results/counterexample.parquet           every trained network: mixture (in parts of grid), seed, features kept, the
                                                 four solved
        results/counterexample_together.parquet  every probe on the concatenated features of `members` seeds: the four solved

No part of the table: it is made when it is asked for.
"""


rule counterexample:
    """All networks, on one core."""
    input:
        code=code_of("counterexample"),
    output:
        runs=paths.counterexample.runs,
        together=paths.counterexample.together,
    log:
        paths.log("counterexample"),
    benchmark:
        paths.benchmark("counterexample")
    resources:
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
    params:
        settings=study.params.counterexample,
    shell:
        "python -m workflow_scripts.counterexample"
        " --settings {params.settings:q}"
        " --runs {output.runs:q}"
        " --together {output.together:q}"
        " 2> {log:q}"
