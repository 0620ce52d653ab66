"""
Probes: batch norm and a linear layer on frozen, concatenated features. No image is touched.

Input   the features of an arm's members on a data set, for every replicate, and the data set's indices (labels).
Output  results/probes/{source}/{data_set}/{arm}.parquet              replicate, members, weight decay, fit, epoch, split,
                                                                      top-1, top-5, loss
        results/probes/{source}/{data_set}/{arm}.predictions.parquet  per evaluation row, by the selected heads
        results/probes/{source}/{data_set}/{arm}.heads.safetensors    the selected heads
"""


rule probe:
    """One arm on one data set: all replicates, weight decays and epochs in one job."""
    input:
        **MEMBERS_FEATURES,
        **TRAIN_LABELS,
        **EVALUATION_LABELS,
        code=code_of("probe"),
    output:
        metrics="results/probes/{source}/{data_set}/{arm}.parquet",
        predictions="results/probes/{source}/{data_set}/{arm}.predictions.parquet",
        predictions_sidecar="results/probes/{source}/{data_set}/{arm}.predictions.parquet.json",
        heads="results/probes/{source}/{data_set}/{arm}.heads.safetensors",
        heads_sidecar="results/probes/{source}/{data_set}/{arm}.heads.safetensors.json",
    log:
        "results/logs/probe/{source}/{data_set}/{arm}.log",
    benchmark:
        "results/benchmarks/probe/{source}/{data_set}/{arm}.tsv"
    wildcard_constraints:
        arm=study.pattern("probed_arm"),
        data_set=study.pattern("probed"),
    threads: study.config.torch_threads
    resources:
        gpu=1,
        mem_mb=growing(study.probe_memory_mb),
        memory_gb=study.feature_memory_gb,
        runtime=study.runtime,
    params:
        replicates=study.replicate_seeds,
        views=study.views,
        protocol=study.protocol,
        heldout=study.heldout,
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
