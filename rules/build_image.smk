"""
The image in which stages run where `--sdm apptainer` (profiles/apptainer) asks for it.

Input   containers/timecat.def, and what it installs (envs/requirements.txt) and tests with (containers/check.py).
Output  containers/timecat.sif and containers/timecat.sif.sha256, which stages in containers have as an input: Snakemake
        itself looks at an image's path, not at its content.
"""


rule build_image:
    """The environment of all stages, of one definition. It takes every core there is, and it is no stage."""
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
