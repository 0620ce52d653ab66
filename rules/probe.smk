"""
Trains probes: batch norm and a linear layer on frozen, concatenated features. No image is read.

Input   the features of an arm's members on a data set, for every replicate, and the data set's indices (labels).
Output  results/probes/{source}/{data_set}/{arm}.parquet              replicate, members, weight decay, fit, epoch, split,
                                                                      top-1, top-5, loss; relative gradient of final heads
        results/probes/{source}/{data_set}/{arm}.predictions.parquet  predictions of the selected heads per evaluation row
        results/probes/{source}/{data_set}/{arm}.heads.safetensors    the selected heads
"""


rule probe:
    """Train the probes of one arm on one data set: all replicates, weight decays and epochs in one job."""
    input:
        **MEMBERS_FEATURES,
        **TRAIN_LABELS,
        **EVALUATION_LABELS,
        code=code_of("probe"),
    output:
        metrics=paths.probe.metrics,
        predictions=paths.probe.predictions,
        predictions_sidecar=paths.probe.predictions_sidecar,
        heads=paths.probe.heads,
        heads_sidecar=paths.probe.heads_sidecar,
    log:
        paths.log("probe"),
    benchmark:
        paths.benchmark("probe")
    wildcard_constraints:
        arm=study.patterns["probed_arm"],
        data_set=study.patterns["probed"],
    threads: study.config.torch_threads
    resources:
        gpu=1,
        mem_mb=growing(study.resources.probe_memory_mb),
        memory_gb=study.resources.feature_memory_gb,
        runtime=study.resources.runtime,
    params:
        replicates=study.params.replicates,
        views=study.params.views,
        protocol=study.params.probe,
        heldout=study.params.heldout,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.probe"
        " --features {input.features:q}"
        " --replicates {params.replicates:q}"
        " --train-index {input.train_index:q}"
        " --evaluation-index {input.evaluation_index:q}"
        " --views {params.views:q}"
        " --protocol {params.protocol:q}"
        " --heldout {params.heldout:q}"
        " --torch-threads {params.torch_threads}"
        " --gpus {resources.gpu}"
        " --memory-gb {resources.memory_gb}"
        " --metrics {output.metrics:q}"
        " --predictions {output.predictions:q}"
        " --heads {output.heads:q}"
        " 2> {log:q}"
