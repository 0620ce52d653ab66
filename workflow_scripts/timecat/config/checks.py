"""Checks of a study's config that concern several blocks.

Each check raises ValueError with a message that begins with the key.
"""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from workflow_scripts.timecat.backbones.catalogue import mistake_in_data, mistake_in_sizes, mistake_in_zero_gamma
from workflow_scripts.timecat.config.arms import GAP_TABLES, TABLES, AccuracyTable, Arm, check_against, check_replicates
from workflow_scripts.timecat.config.blocks import repeated
from workflow_scripts.timecat.config.data_sets import EvaluationFolder

if TYPE_CHECKING:
    from workflow_scripts.timecat.config.model import Config

# Names of the table's columns: TABLE_COLUMNS, and for each data set its name without and with each of TABLE_ENDINGS.
TABLE_COLUMNS = ("method", "parameters", "members", "steps_per_member", "total_steps", "replicates")
TABLE_ENDINGS = (
    *("_std", "_holdout", "_published", "_floor", "_projection", "_ceiling", "_verdict"),
    *("_gradient", "_from_converged", "_converged", "_edge"),
)


def check_names(config: "Config") -> None:
    """Check that the study's source, targets and backbone are defined."""
    for key, names in (("source", [config.source]), ("targets", config.targets)):
        for name in names:
            if name not in config.data_sets:
                raise ValueError(
                    f"{key}: {name!r} is not one of the data sets ({', '.join(config.data_sets)}); correct the name"
                )
    if config.backbone not in config.backbones:
        raise ValueError(
            f"backbone: {config.backbone!r} is not one of the backbones ({', '.join(config.backbones)}); "
            "correct the name"
        )


def check_repeats(config: "Config") -> None:
    """Check that no target and no seed is listed twice."""
    for key, twice in (("targets", repeated(config.targets)), ("pretrain.seeds", repeated(config.pretrain.seeds))):
        if twice is not None:
            raise ValueError(f"{key}: {twice!r} is listed twice; remove one")


def check_columns(config: "Config") -> None:
    """Check that no data set has the name of another column of the table."""
    for name in config.data_sets:
        if name in TABLE_COLUMNS or name.endswith(TABLE_ENDINGS):
            raise ValueError(f"data_sets: {name!r} is the name of another column of the table; rename the data set")


def check_recipes(config: "Config") -> None:
    """Check that each backbone's changes fit the study's pretraining recipe."""
    for name in config.backbones:
        try:
            config.recipe_of(name)
        except ValidationError as error:  # changes that contradict one another or the study's recipe
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"backbones.{name}.pretrain.{message}") from None


def check_grid(config: "Config") -> None:
    """Check that the grid has enough seeds, and that each seed has a run if weights are published."""
    if config.grid is None:
        return
    key, seeds = ("grid.seeds", config.grid.seeds) if config.grid.seeds else ("pretrain.seeds", config.pretrain.seeds)
    if config.grid.members[-1] > len(seeds):
        raise ValueError(
            f"grid.members: {config.grid.members[-1]} members need as many seeds, but {key} has {len(seeds)}; add "
            f"{config.grid.members[-1] - len(seeds)} or lower the number of members"
        )
    if unknown := [seed for seed in seeds if seed not in config.pretrain.seeds and config.checkpoints]:
        raise ValueError(
            f"grid.seeds: {unknown[0]} is not in pretrain.seeds, which gives the runs of `checkpoints`; add it there "
            "or remove it"
        )


def check_tables(config: "Config") -> None:
    """Check that the data sets in arms and tables exist, and that tables of gaps have an arm with `transfer: direct`.

    The tables that `calibration.tables` names must exist, too.
    """
    arms = config.all_arms
    named = [(f"{key}.targets", name) for key, table in config.tables.items() for name in table.targets or []]
    named += [("grid.targets", name) for name in config.grid_targets]
    named += [("width.targets", name) for name in (config.width.targets if config.width else None) or []]
    named += [("ceiling.known", name) for name in (config.ceiling.known if config.ceiling else ())]
    named += [(f"{key}.source", table.source) for key, table in config.tables.items() if table.source]
    named += [(f"arms: source of {arm.name!r}", arm.source) for arm in arms.values() if arm.source]
    for block in GAP_TABLES:
        rows = config.tables[block].names if block in config.tables else []
        if rows and all(arms[row].transfer != "direct" for row in rows):
            raise ValueError(
                f"{block}: no arm has `transfer: direct`, which the table compares arms with; add such an arm"
            )
    for table in config.calibration.tables or []:
        if table not in config.tables:
            raise ValueError(
                f"calibration.tables: the study has no block {table!r} (it has {', '.join(config.tables) or 'none'}); "
                "correct the name"
            )
    for key, name in named:
        if name not in config.data_sets:
            raise ValueError(
                f"{key}: {name!r} is not one of the data sets ({', '.join(config.data_sets)}); correct the name"
            )
        if not key.endswith((".targets", ".known")) and isinstance(config.data_sets[name], EvaluationFolder):
            raise ValueError(f"{key}: {name!r} is for evaluation only; choose another data set")


def check_comparisons(config: "Config") -> None:
    """Check that the names in `against` of each arm are correct, and that the arm's table makes such comparisons."""
    check_against("arms", config.arms, names := [arm.name for arm in config.arms], config.baseline or names[0])
    blocks = {key: table.own for key, table in config.tables.items()}
    if config.ceiling is not None and isinstance(config.ceiling.arm, Arm):
        blocks["ceiling"] = [config.ceiling.arm]
    for key, arms in blocks.items():
        table = config.tables.get(key)
        if key in TABLES and isinstance(table, AccuracyTable):
            check_against(f"{key}.arms", arms, table.names, table.baseline or table.names[0])
        elif own := [arm.name for arm in arms if arm.against]:
            raise ValueError(
                f"{key}: {own[0]!r} has the key `against`, which only arms in `arms` and in the blocks "
                f"{', '.join(TABLES)} may have; remove the key"
            )


def check_backbones(config: "Config") -> None:
    """Check that the backbones of all arms are defined and fit the data sets on which they are used."""
    for name in dict.fromkeys([config.backbone, *map(config.backbone_of, config.all_arms.values())]):
        _check_backbone(config, name)


def _check_backbone(config: "Config", name: str) -> None:
    if name not in config.backbones:
        arm = next(arm.name for arm in config.all_arms.values() if arm.backbone == name)
        raise ValueError(
            f"arms: {arm!r} has the backbone {name!r}, which is not one of the backbones "
            f"({', '.join(config.backbones)}); correct the name"
        )
    architecture = config.backbones[name].architecture
    if config.recipe_of(name).zero_gamma and (mistake := mistake_in_zero_gamma(architecture)):
        raise ValueError(f"pretrain.zero_gamma: {mistake}")
    arms = [arm for arm in config.all_arms.values() if config.backbone_of(arm) == name]
    seen = [place for arm in arms for place in (*config.sources_of(arm), *config.targets_of_arm(arm))]
    if name == config.backbone:
        seen = [config.source, *config.targets, *config.grid_targets, *seen]
    blocks = {target: config.data_sets[target] for target in dict.fromkeys(seen)}
    are_sequences = {target: config.has_sequences(target) for target in blocks}
    if mistake := mistake_in_data(architecture, are_sequences):
        raise ValueError(f"backbones.{name}.architecture: {mistake}")
    sizes = {
        target: config.with_training_rows(target).transform.size
        for target, block in blocks.items()
        if not isinstance(block, EvaluationFolder)
    }
    if mistake := mistake_in_sizes(architecture, sizes):
        raise ValueError(f"data_sets.{mistake}")


def check_evaluation_folders(config: "Config") -> None:
    """Check that each folder for evaluation only has a probe that reads it, and that nothing is trained on it."""
    trainable = [name for name, block in config.data_sets.items() if not isinstance(block, EvaluationFolder)]
    if config.source not in trainable:
        raise ValueError(f"source: {config.source!r} is for evaluation only; choose one of {', '.join(trainable)}")
    for name, block in config.data_sets.items():
        if isinstance(block, EvaluationFolder) and block.probe_of not in trainable:
            raise ValueError(
                f"data_sets.{name}.probe_of: {block.probe_of!r} is not a data set with a probe; choose one of "
                f"{', '.join(trainable)}"
            )
    for arm in config.all_arms.values():
        only = [name for name in config.targets_of_arm(arm) if name not in trainable]
        if arm.pretrained_on == "target" and only:
            raise ValueError(
                f"arms: {arm.name!r} has `pretrained_on: target`, but {only[0]!r} has no training rows; remove that "
                "data set from `targets`, or remove the arm"
            )
        if arm.transfer != "probe" and only:
            raise ValueError(
                f"arms: {arm.name!r} has `transfer: {arm.transfer}`, which makes no probe to evaluate on {only[0]!r}; "
                "remove that data set from `targets`, or remove the arm"
            )


def check_arms(config: "Config") -> None:
    """Check that each arm has enough seeds, and that its published accuracies are for its targets."""
    for arm in config.all_arms.values():
        check_replicates(arm, arm.seeds or config.pretrain.seeds, "seeds" if arm.seeds else "pretrain.seeds")
        targets = config.targets_of_arm(arm)
        for name in arm.published:
            if name not in targets:
                raise ValueError(
                    f"arms: {arm.name!r} has a published accuracy on {name!r}, which is not one of its targets "
                    f"({', '.join(targets)}); correct the name"
                )


def check_draws(config: "Config") -> None:
    """Check that each data set for pretraining has a single draw of its training rows."""
    for name in sorted(config.pretrained_on):
        if (draws := config.data_sets[name].number_of_draws) > 1:
            raise ValueError(
                f"data_sets.{name}.draws: backbones are pretrained on {name!r}, so it must have one draw of training "
                f"rows, not {draws}; write `draws: 1` or remove the key"
            )


def check_dimensions(config: "Config") -> None:
    """Check that no arm is reduced to more dimensions than it has features, if the config tells their number."""
    for arm in config.all_arms.values():
        columns = config.known_columns(arm)
        if arm.reduce is not None and columns is not None and arm.reduce.dimensions > columns:
            raise ValueError(
                f"arms: `reduce.dimensions` of {arm.name!r} is {arm.reduce.dimensions}, but its {arm.members} members "
                f"have only {columns} features together; lower it to {columns} or less"
            )


def check_weight_decays(config: "Config") -> None:
    """Check that the weight decays of L-BFGS probes are positive.

    Without weight decay, the loss on separable classes has no minimum.
    """
    grids = {
        f"data_sets.{name}.weight_decays": config.with_training_rows(name).weight_decays for name in config.data_sets
    }
    solvers = {config.probe.solver, *(arm.solver for arm in config.all_arms.values())}
    for key, grid in ({"probe.weight_decays": config.probe.weight_decays} | grids).items():
        if "lbfgs" in solvers and 0 in (grid or []):
            raise ValueError(
                f"{key}: with `solver: lbfgs` each weight decay must be greater than 0; replace 0 by 1.0e-6, for "
                "example"
            )


def check_published(config: "Config") -> None:
    """Check that arms with published weights have the study's source, and that each checkpoint is a different file."""
    if config.backbones[config.backbone].checkpoints is not None:
        raise ValueError(
            f"backbones.{config.backbone}.checkpoints: this is the study's backbone; move the block `checkpoints` to "
            "the top level"
        )
    for name, block in config.publications.items():
        is_the_studys = name == config.backbone
        key = config.publication_key(name)
        own = [arm for arm in config.all_arms.values() if config.backbone_of(arm) == name and arm.milestones]
        for arm in own:
            if (source := config.shared_source_of(arm)) != config.source:
                raise ValueError(
                    f"arms: {arm.name!r} is pretrained on {repr(source) if source else 'each target'}, but its "
                    f"backbone {name!r} has published weights (`{key}`); give the arm another backbone"
                )
            if unknown := [seed for seed in arm.seeds or [] if seed not in config.pretrain.seeds]:
                raise ValueError(
                    f"arms: seed {unknown[0]} of {arm.name!r} is not in pretrain.seeds, which gives the runs of "
                    f"`{key}`; add it there or remove it"
                )
        steps = {step for arm in own for step in arm.milestones}
        used = config.pretrain.seeds
        if is_the_studys:
            steps |= set(config.pretrain.milestones)
        else:
            used = [seed for seed in used if any(seed in (arm.seeds or used) for arm in own)]
        block.check_places(key, config.pretrain.seeds, used, sorted(steps))


CHECKS = (  # in order: the first check that fails is reported
    check_names,
    check_repeats,
    check_columns,
    check_recipes,
    check_tables,
    check_comparisons,
    check_evaluation_folders,
    check_backbones,
    check_arms,
    check_draws,
    check_dimensions,
    check_grid,
    check_weight_decays,
    check_published,
)
