"""
Builds the container image in which stages run with `--sdm apptainer` (profiles/apptainer).

Input   containers/timecat.def, the requirements that it installs (envs/requirements.txt), and its test
        (containers/check.py).
Output  containers/timecat.sif, and containers/timecat.sif.sha256, which is an input of stages in containers, because
        Snakemake looks only at an image's path and not at its content.
"""


rule build_image:
    """Build the environment of all stages from one definition. The job takes all cores and is not a stage."""
    input:
        definition=project.path_of("containers/timecat.def"),
        check=project.path_of("containers/check.py"),
        requirements=project.path_of("envs/requirements.txt"),
    output:
        image=project.path_of(rule_helpers.IMAGE),
        digest=project.path_of(rule_helpers.IMAGE_DIGEST),
    log:
        paths.log("build_image"),
    benchmark:
        paths.benchmark("build_image")
    localrule: True
    handover: True
    container:
        None
    params:
        arguments=study.params.image_arguments,
    shell:
        "env -u TIMECAT_FORKSERVER python -m workflow_scripts.build_image"
        " --definition {input.definition:q}"
        " --arguments {params.arguments:q}"
        " --image {output.image:q}"
        " --digest {output.digest:q}"
        " 2>&1 | tee {log:q} >&2"
