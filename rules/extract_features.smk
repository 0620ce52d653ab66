"""
Extracts features: every image passes through every backbone once per view.

Input   a checkpoint's weights and a data set (.beton files and sidecars).
Output  results/features/{source}/{backbone}/seed{seed}/step{step}/{data_set}/
            evaluation.center.npy   [rows, dimension], rows in data set order, evaluation crop
            heldout.center.npy      the held-out training rows of all draws, ascending, evaluation crop
            train.{view}.npy        all training rows of all draws, one file per view
        and a sidecar {data_set}.json beside the folder.

A data set for evaluation only has no training rows, so its folder has only evaluation.center.npy.
"""


rule extract_features:
    """Extract one checkpoint's features of one data set: all splits and views."""
    input:
        code=code_of("extract_features"),
        weights=ancient(paths.checkpoint.weights),
        weights_sidecar=paths.checkpoint.weights_sidecar,
        train=ancient(study.inputs.train_beton),
        train_sidecar=study.inputs.train_sidecar,
        train_index=ancient(study.inputs.drawn_index),
        evaluation=ancient(EVALUATION.beton),
        evaluation_sidecar=EVALUATION.sidecar,
    output:
        features=directory(paths.features.path),
        sidecar=paths.features.sidecar,
    log:
        paths.log("extract_features"),
    benchmark:
        paths.benchmark("extract_features")
    threads: study.resources.extract_threads
    resources:
        gpu=study.config.limits.extract_gpus,
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
    params:
        extraction=study.params.extraction,
        heldout=study.params.heldout,
        transform=study.params.transform,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.extract_features"
        " --data-set {wildcards.data_set}"
        " --weights {input.weights:q}"
        " --train {input.train:q}"
        " --train-index {input.train_index:q}"
        " --evaluation {input.evaluation:q}"
        " --extraction {params.extraction:q}"
        " --heldout {params.heldout:q}"
        " --transform {params.transform:q}"
        " --torch-threads {params.torch_threads}"
        " --workers {threads}"
        " --gpus {resources.gpu}"
        " --features {output.features:q}"
        " 2> {log:q}"
