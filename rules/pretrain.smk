"""
Pretrains backbones from milestone to milestone.

Input   the source data set (.beton and sidecar) and, after the first milestone, the training state of the previous one.
Output  results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors  weights for inference (averaged, with
                                                            batch-norm statistics recomputed) and their description
        .../step{step}.state.pt                             the training state, from which the next milestone continues
        .../step{step}.jsonl                                the training log
        and a sidecar beside both big files.

On the CPU, a chain of milestones gives bit for bit the result of one uninterrupted run. An interrupted job continues from a
resume file that is not declared to Snakemake (which deletes declared outputs before a job).
"""

source_train = paths.data_set.at(data_set="{source}", split="train")
source_evaluation = paths.data_set.at(data_set="{source}", split="evaluation")


rule pretrain:
    """Pretrain one seed from the previous milestone (or from scratch) to this one."""
    input:
        code=code_of("pretrain"),
        train=ancient(source_train.beton),
        train_sidecar=source_train.sidecar,
        evaluation=ancient(source_evaluation.beton),
        evaluation_sidecar=source_evaluation.sidecar,
        previous=ancient(study.inputs.previous_state),
        previous_sidecar=study.inputs.previous_sidecar,
    output:
        weights=paths.checkpoint.weights,
        weights_sidecar=paths.checkpoint.weights_sidecar,
        state=paths.checkpoint.state,
        state_sidecar=paths.checkpoint.state_sidecar,
        training_log=paths.checkpoint.training_log,
    log:
        paths.log("pretrain"),
    benchmark:
        paths.benchmark("pretrain")
    wildcard_constraints:
        backbone=study.patterns["pretrained_backbone"],
        step=study.patterns["milestone"],
    threads: study.resources.pretrain_threads
    resources:
        gpu=study.config.limits.pretrain_gpus,
        nodes=study.config.limits.pretrain_nodes,
        mem_mb=growing(study.resources.pretrain_memory_mb),
        runtime=study.resources.runtime,
        resume_seconds=study.config.limits.resume_seconds,
    params:
        backbone=study.params.backbone,
        recipe=study.params.recipe,
        transform=study.params.source_transform,
        torch_threads=study.config.torch_threads,
    shell:
        "python -m workflow_scripts.pretrain"
        " --source {wildcards.source}"
        " --seed {wildcards.seed}"
        " --step {wildcards.step}"
        " --backbone {params.backbone:q}"
        " --recipe {params.recipe:q}"
        " --transform {params.transform:q}"
        " --train {input.train:q}"
        " --evaluation {input.evaluation:q}"
        " --previous {input.previous:q}"
        " --resume-seconds {resources.resume_seconds}"
        " --torch-threads {params.torch_threads}"
        " --workers {threads}"
        " --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " --weights {output.weights:q}"
        " --state {output.state:q}"
        " --training-log {output.training_log:q}"
        " 2> {log:q}"
