"""
Writes untrained networks: step 0 of a seed, for floors and for arms with `steps: 0`.

Input   a data set (.beton and sidecar), whose training images give batch norm its statistics. It is the source or, for
        published networks whose source is not a target, the first target.
Output  results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors  the weights that pretraining begins with,
                                                                                   and batch-norm statistics; step is 0
        and its sidecar. This file is not a milestone: no chain of pretraining begins with it.
"""


rule initialise:
    """Write the network of one seed at step 0."""
    input:
        code=code_of("initialise"),
        train=ancient(study.inputs.initial_images),
        train_sidecar=study.inputs.initial_images_sidecar,
    output:
        weights=paths.checkpoint.at(step="0").weights,
        weights_sidecar=paths.checkpoint.at(step="0").weights_sidecar,
    log:
        paths.log("initialise"),
    benchmark:
        paths.benchmark("initialise")
    threads: study.resources.threads
    resources:
        gpu=1,
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
    params:
        backbone=study.params.backbone,
        beginning=study.params.beginning,
        transform=study.params.source_transform,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.initialise"
        " --source {wildcards.source}"
        " --seed {wildcards.seed}"
        " --backbone {params.backbone:q}"
        " --beginning {params.beginning:q}"
        " --transform {params.transform:q}"
        " --train {input.train:q}"
        " --torch-threads {params.torch_threads}"
        " --workers {threads}"
        " --gpus {resources.gpu}"
        " --weights {output.weights:q}"
        " 2> {log:q}"
