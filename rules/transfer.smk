"""
Trains an arm's backbones, side by side, end to end on a target's augmented images.

Input   a data set (.beton, sidecars, indices) and, for arms with `transfer: finetune`, the weights of all members of all
        replicates; arms with `transfer: direct` start from scratch.
Output  results/transfers/{source}/{data_set}/{arm}.parquet              metrics in the format of the probe's: replicate,
                                                                         members, weight decay, fit, epoch, split, top-1,
                                                                         top-5, loss
        results/transfers/{source}/{data_set}/{arm}.predictions.parquet  predictions of the selected networks per
                                                                         evaluation row
        and a sidecar beside the predictions.

An interrupted job keeps its progress in a folder that is not declared to Snakemake, and continues from there.
"""


rule transfer:
    """Train one arm on one data set: all replicates, weight decays and fits, one network after another."""
    input:
        **EVALUATION_LABELS,
        code=code_of("transfer"),
        weights=ancient(study.inputs.member_weights),
        weights_sidecars=study.inputs.member_weights_sidecars,
        train=ancient(TRAIN.beton),
        train_index=ancient(TRAIN.index),
        train_sidecar=TRAIN.sidecar,
        evaluation=ancient(EVALUATION.beton),
    output:
        metrics=paths.transfer.metrics,
        predictions=paths.transfer.predictions,
        predictions_sidecar=paths.transfer.predictions_sidecar,
    log:
        paths.log("transfer"),
    benchmark:
        paths.benchmark("transfer")
    wildcard_constraints:
        arm=study.patterns["transferred_arm"],
    threads: study.resources.threads
    resources:
        gpu=1,
        mem_mb=growing(study.config.limits.pretrain_memory_mb),
        runtime=study.resources.runtime,
        resume_seconds=study.config.limits.resume_seconds,
    params:
        mode=study.params.transfer_mode,
        replicates=study.params.replicates,
        backbone=study.params.transfer_backbone,
        initialisation=study.params.transfer_initialisation,
        settings=study.params.transfer,
        transform=study.params.transform,
        heldout=study.params.heldout,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.transfer"
        " --mode {params.mode}"
        " --data-set {wildcards.data_set}"
        " --replicates {params.replicates:q}"
        " --weights {input.weights:q}"
        " --backbone {params.backbone:q}"
        " --initialisation {params.initialisation:q}"
        " --settings {params.settings:q}"
        " --transform {params.transform:q}"
        " --heldout {params.heldout:q}"
        " --train {input.train:q}"
        " --train-index {input.train_index:q}"
        " --evaluation {input.evaluation:q}"
        " --evaluation-index {input.evaluation_index:q}"
        " --resume-seconds {resources.resume_seconds}"
        " --torch-threads {params.torch_threads}"
        " --workers {threads}"
        " --gpus {resources.gpu}"
        " --metrics {output.metrics:q}"
        " --predictions {output.predictions:q}"
        " 2> {log:q}"
