"""
Trains the networks of the counterexample (section 3 of the paper): two features, four points, and four distributions, each
of which one feature solves.

Exact part, by enumeration: for every mixture of the four distributions, the best linear classifier, the one feature that it
uses, and which of the four distributions a probe on that feature solves. (Mixtures for which both features are equally good
are left out.)

Measured part: networks of each kind in `networks` are trained by cross-entropy on every mixture, with every weight decay,
learning rate and seed. Measured are the number of features that they keep, and the number of the four distributions that a
probe then solves, on one network and on the concatenated features of `members` seeds. All seeds see the same rows; they
differ in initial weights and order. The number of features that a network keeps is the number of singular values of its
hidden layer, at the four points, that are at least `threshold` times the greatest. A probe solves a distribution if it ends
without an error on its points.

Input   none: the points are the paper's.
Output  results/counterexample.parquet           every trained network: mixture (in parts of grid), seed, features kept, and
                                                 whether each of the four is solved
        results/counterexample_together.parquet  every probe on the concatenated features of `members` seeds: whether each of
                                                 the four is solved

These files are made only when requested.
"""


rule counterexample:
    """Train all networks in one job on one core."""
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
