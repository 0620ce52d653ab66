"""
Measures what each member contributes to a probe, and how similar the members are. Nothing is trained.

Input   the evaluation features of an arm's members on a data set, the data set's index, and the probe's selected heads.
Output  results/diagnostics/{source}/{data_set}/{arm}.parquet  long form: replicate, members (seeds), selection, quantity,
                                                               member, seed, other member, other seed, value

Quantities: accuracy, block_accuracy, leave_one_out_accuracy (percent), weight, folded_weight (mean absolute), cka.
These files are made only when results/diagnostics.csv (rule tabulate_diagnostics) is requested.
"""


rule diagnose:
    """Diagnose one arm on one data set: all replicates, both selections."""
    input:
        **MEMBERS_FEATURES,
        **EVALUATION_LABELS,
        code=code_of("diagnose"),
        heads=ancient(paths.probe.heads),
        heads_sidecar=paths.probe.heads_sidecar,
    output:
        diagnostics=paths.diagnosis.path,
    log:
        paths.log("diagnose"),
    benchmark:
        paths.benchmark("diagnose")
    wildcard_constraints:
        data_set=study.patterns["probed"],
        arm=study.patterns["probed_arm"],
    threads: study.config.torch_threads
    resources:
        **ONE_GPU,
    params:
        replicates=study.params.replicates,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.diagnose"
        " --features {input.features:q}"
        " --replicates {params.replicates:q}"
        " --heads {input.heads:q}"
        " --evaluation-index {input.evaluation_index:q}"
        " --torch-threads {params.torch_threads} --gpus {resources.gpu}"
        " --diagnostics {output.diagnostics:q}"
        " 2> {log:q}"
