"""
Imports published weights, which replace pretraining.

Input   the checkpoint's file, or the archive that contains it: at the config's path, or downloaded (download.smk).
Output  results/checkpoints/{source}/{backbone}/seed{seed}/step{step}.safetensors  weights for inference and their
                                                                                   description, including their origin
        and its sidecar, in the form that pretraining writes (without a training state: training does not continue here)

Files are read without running code in them, and every key is either mapped or named in an error. Local files are identified
by their SHA-256 (a param), so that a touched or copied file runs nothing again.
"""


rule import_checkpoint:
    """Import one seed at one step."""
    input:
        code=code_of("import_checkpoint"),
        published=ancient(study.inputs.published_file),
        published_sidecar=study.inputs.published_sidecar,
    output:
        weights=paths.checkpoint.weights,
        weights_sidecar=paths.checkpoint.weights_sidecar,
    log:
        paths.log("import_checkpoint"),
    benchmark:
        paths.benchmark("import_checkpoint")
    wildcard_constraints:
        backbone=study.patterns["imported_backbone"],
        step=study.patterns["milestone"],
    resources:
        mem_mb=growing(study.config.limits.memory_mb),
        runtime=study.resources.runtime,
        # Only checks: they accept or refuse a file and never change an output.
        sha256=study.resources.published_sha256,
        member_sha256=study.resources.member_sha256,
        step_tolerance=study.resources.step_tolerance,
    params:
        backbone=study.params.backbone,
        image_size=study.params.image_size,
        publication=study.params.publication,
    shell:
        "python -m workflow_scripts.import_checkpoint"
        " --source {wildcards.source}"
        " --seed {wildcards.seed}"
        " --step {wildcards.step}"
        " --backbone {params.backbone:q}"
        " --image-size {params.image_size}"
        " --publication {params.publication:q}"
        " --sha256 {resources.sha256:q}"
        " --member-sha256 {resources.member_sha256:q}"
        " --step-tolerance {resources.step_tolerance}"
        " --published {input.published:q}"
        " --weights {output.weights:q}"
        " 2> {log:q}"
