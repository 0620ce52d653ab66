"""
Pretraining, from milestone to milestone.

Input   the source data set (.beton and sidecar) and, past the first milestone, the training state of the one before.
Output  results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors  weights for inference (averaged, with
                                                            batch-norm statistics of their own) and what describes them
        .../step{step}.state.pt                             the training state, to go on from
        .../step{step}.jsonl                                the training log
        and a sidecar beside both big files.

A chain of milestones gives, bit for bit on the CPU, what one uninterrupted run gives. An interrupted job continues from
its own resume file, which Snakemake does not know of (declared outputs are deleted before a job).
"""


rule pretrain:
    """One seed, from the milestone before (or from nothing) to this one."""
    input:
        code=code_of("pretrain"),
        train=ancient("results/data_sets/{source}/train.beton"),
        train_sidecar="results/data_sets/{source}/train.beton.json",
        evaluation=ancient("results/data_sets/{source}/evaluation.beton"),
        evaluation_sidecar="results/data_sets/{source}/evaluation.beton.json",
        previous=ancient(study.previous_state),
        previous_sidecar=study.previous_sidecar,
    output:
        weights="results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors",
        weights_sidecar="results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors.json",
        state="results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.state.pt",
        state_sidecar="results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.state.pt.json",
        training_log="results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.jsonl",
    log:
        "results/logs/pretrain/{source}/{backbone}/seed{seed}/step{step}.log",
    benchmark:
        "results/benchmarks/pretrain/{source}/{backbone}/seed{seed}/step{step}.tsv"
    wildcard_constraints:
        backbone=study.pattern("pretrained_backbone"),
    threads: study.pretrain_threads
    resources:
        gpu=study.config.limits.pretrain_gpus,
        nodes=study.config.limits.pretrain_nodes,
        mem_mb=growing(study.pretrain_memory_mb),
        runtime=study.runtime,
        resume_seconds=study.config.limits.resume_seconds,
    params:
        backbone=study.backbone_settings,
        recipe=study.recipe,
        transform=study.transform,
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
