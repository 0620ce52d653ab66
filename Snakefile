from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.20")

from workflow_scripts.timecat.runtime.forkserver import server
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study import rule_helpers, scratch
from workflow_scripts.timecat.study.study import Study

# --configfile replaces the embedded study; it does not overlay it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    study = Study(read_config(config, workflow.configfiles), workflow.configfiles)
    scratch.check(study.config.scratch_dir)
except UserError as error:
    raise WorkflowError(str(error)) from None


CONTAINERS = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)
code_of = rule_helpers.code_of(CONTAINERS, local)
growing = rule_helpers.growing

# What several rules read, and what they ask for.
MEMBERS_FEATURES = {
    "features": ancient(study.feature_folders),
    "feature_sidecars": study.feature_sidecars,
}
TRAIN_LABELS = {
    "train_index": ancient("results/data_sets/{data_set}/train.index.parquet"),
    "train_sidecar": "results/data_sets/{data_set}/train.beton.json",
}
EVALUATION_LABELS = {
    "evaluation_index": ancient(
        "results/data_sets/{data_set}/evaluation.index.parquet"
    ),
    "evaluation_sidecar": "results/data_sets/{data_set}/evaluation.beton.json",
}
ONE_GPU = {
    "gpu": 1,
    "mem_mb": growing(study.config.limits.memory_mb),
    "runtime": study.runtime,
}


onstart:
    scratch.link(study.config.scratch_dir)
    if workflow.local_exec and workflow.is_main_process:
        # Snakemake 9 limits job starts per second, and with each job that starts wakes its scheduler once a second more, to
        # the end of the run: after some hundred jobs that takes half a core. On one machine `--cores` is limit enough.
        workflow.scheduler.job_rate_limiter = None
        # A container has another Python.
        if study.config.limits.forkserver and not workflow.touch and not CONTAINERS:
            server.start()


container: "containers/timecat.sif"


wildcard_constraints:
    data_set=study.pattern("data_set"),
    source=study.pattern("data_set"),
    backbone=study.pattern("backbone"),
    arm=study.pattern("arm"),
    split="train|evaluation",
    seed=r"\d+",
    step=r"\d+",


localrules:
    all,
    build_image,
    all_arms,
    tabulate,
    tabulate_diagnostics,
    tabulate_arms,
    tabulate_grid,
    tabulate_gap,
    tabulate_spurious,
    tabulate_counterexample,


rule all:
    default_target: True
    input:
        "results/table2.csv",


rule all_arms:
    """Every table that the study has: table 2 and those of the paper's other arguments."""
    input:
        study.all_tables,


include: "rules/build_image.smk"
include: "rules/write_dataset.smk"
include: "rules/pretrain.smk"


# They take the place of pretraining.
if study.publications:

    include: "rules/download.smk"
    include: "rules/import_checkpoint.smk"


include: "rules/extract_features.smk"
include: "rules/probe.smk"
include: "rules/transfer.smk"
include: "rules/reweight.smk"
include: "rules/evaluate_probe.smk"
include: "rules/diagnose.smk"
include: "rules/tabulate.smk"
include: "rules/tabulate_diagnostics.smk"
include: "rules/tabulate_arms.smk"
include: "rules/tabulate_grid.smk"
include: "rules/tabulate_gap.smk"
include: "rules/tabulate_spurious.smk"
include: "rules/calibration.smk"
include: "rules/counterexample.smk"
include: "rules/tabulate_counterexample.smk"
