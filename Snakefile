from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.20")

from workflow_scripts.timecat.artifacts import project
from workflow_scripts.timecat.runtime.forkserver import server
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study import rule_helpers, scratch
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import of_table

# --configfile replaces the embedded study's config; the two are not merged.
if not workflow.overwrite_configfiles:

    configfile: project.path_of("config/config.yaml")


CONTAINERS = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)

try:
    project.check(workflow.current_basedir.get_path_or_uri(secret_free=True))
    project.export(in_containers=CONTAINERS)
    study = Study(read_config(config, workflow.configfiles), workflow.configfiles)
    scratch.check(study.config.scratch_dir, study.paths.data_sets)
except UserError as error:
    raise WorkflowError(str(error)) from None

code_of = rule_helpers.code_of(CONTAINERS, local)
growing = rule_helpers.growing
paths = study.paths

# Inputs and resources that several rules share.
TRAIN = paths.data_set.at(split="train")
EVALUATION = paths.data_set.at(split="evaluation")
MEMBERS_FEATURES = {
    "features": ancient(study.inputs.feature_folders),
    "feature_sidecars": study.inputs.feature_sidecars,
}
TRAIN_LABELS = {
    "train_index": ancient(TRAIN.index),
    "train_sidecar": TRAIN.sidecar,
}
EVALUATION_LABELS = {
    "evaluation_index": ancient(EVALUATION.index),
    "evaluation_sidecar": EVALUATION.sidecar,
}
ONE_GPU = {
    "gpu": 1,
    "mem_mb": growing(study.config.limits.memory_mb),
    "runtime": study.resources.runtime,
}

# Tables that need no block of the config. Files of rules append their tables here, for all_arms and `make plan`.
FURTHER_TABLES = []


onstart:
    scratch.link(study.config.scratch_dir, study.paths.data_sets)
    if workflow.local_exec and workflow.is_main_process:
        # Snakemake 9 limits job starts per second. Each started job then wakes the scheduler once more per second until the
        # end of the run, which takes half a core after some hundred jobs. On one machine, the limit `--cores` suffices.
        workflow.scheduler.job_rate_limiter = None
        # Not in containers, which have another Python.
        if study.config.limits.forkserver and not workflow.touch and not CONTAINERS:
            server.start()


container: project.path_of(rule_helpers.IMAGE)


wildcard_constraints:
    data_set=study.patterns["data_set"],
    source=study.patterns["data_set"],
    backbone=study.patterns["backbone"],
    arm=study.patterns["arm"],
    split="train|evaluation",
    seed=r"\d+",
    step=r"\d+",


localrules:
    all,
    all_arms,


rule all:
    default_target: True
    input:
        paths.table.at(table="table2").csv,


rule all_arms:
    """Make every table of the study: table 2 and those of the paper's other arguments. Diagnostics take further jobs but no
    further arms, and are made only when their file is requested."""
    input:
        study.inputs.tables_with_a_block,
        lambda wildcards: FURTHER_TABLES,


include: "rules/build_image.smk"
include: "rules/write_dataset.smk"
include: "rules/initialise.smk"
include: "rules/pretrain.smk"


# Imported checkpoints replace pretraining.
if study.publications:

    include: "rules/import_checkpoint.smk"
    include: "rules/download.smk"


include: "rules/extract_features.smk"
include: "rules/probe.smk"
include: "rules/transfer.smk"
include: "rules/reweight.smk"
include: "rules/evaluate_probe.smk"
include: "rules/diagnose.smk"
include: "rules/tables.smk"
include: "rules/calibration.smk"
include: "rules/counterexample.smk"
