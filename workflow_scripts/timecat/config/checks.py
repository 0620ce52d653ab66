"""What of a study's config has to go together across blocks. Each function raises ValueError, beginning with the key."""

from pydantic import ValidationError

from workflow_scripts.timecat.backbones.catalogue import mistake_in_data, mistake_in_sizes, mistake_in_zero_gamma
from workflow_scripts.timecat.config.arms import GAP_TABLES, Arm
from workflow_scripts.timecat.config.data_sets import EvaluationFolder


def check_recipes(config):
    """That a backbone's changes of the recipe go together with it."""
    for name in config.backbones:
        try:
            config.recipe_of(name)
        except ValidationError as error:  # of changes that do not go together, or with the study's recipe
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"backbones.{name}.pretrain.{message}") from None


def check_grid(config):
    """That the grid has as many seeds as it needs."""
    if config.grid is None:
        return
    key, seeds = ("grid.seeds", config.grid.seeds) if config.grid.seeds else ("pretrain.seeds", config.pretrain.seeds)
    if config.grid.members[-1] > len(seeds):
        raise ValueError(
            f"grid.members: {config.grid.members[-1]} of them need as many seeds, and {key} has {len(seeds)}; add "
            f"{config.grid.members[-1] - len(seeds)} or lower it"
        )
    if unknown := [seed for seed in seeds if seed not in config.pretrain.seeds and config.checkpoints]:
        raise ValueError(
            f"grid.seeds: {unknown[0]} is not in pretrain.seeds, whose places are the runs of `checkpoints`"
        )


def check_tables(config, arms: dict[str, Arm]):
    """That sources and targets of arms and tables are data sets."""
    named = [(f"{key}.targets", name) for key, table in config.tables.items() for name in table.targets or []]
    named += [("grid.targets", name) for name in config.grid_targets]
    named += [(f"{key}.source", table.source) for key, table in config.tables.items() if table.source]
    named += [(f"arms: source of {arm.name!r}", arm.source) for arm in arms.values() if arm.source]
    for key in GAP_TABLES:
        names = config.tables[key].names if key in config.tables else []
        if names and all(arms[name].transfer != "direct" for name in names):
            raise ValueError(
                f"{key}: it needs an arm with `transfer: direct`, which the others are compared with; add one"
            )
    for name in config.calibration.tables or []:
        if name not in config.tables:
            raise ValueError(
                f"calibration.tables: the study has no block {name!r} (it has {', '.join(config.tables) or 'none'}); correct it"
            )
    for key, name in named:
        if name not in config.data_sets:
            raise ValueError(f"{key}: {name!r} is not one of the data sets ({', '.join(config.data_sets)})")
        if not key.endswith(".targets") and isinstance(config.data_sets[name], EvaluationFolder):
            raise ValueError(f"{key}: {name!r} is for evaluation only; choose another data set")


def check_backbone(config, name: str):
    """That a backbone is one, and fits the data that it is to see."""
    if name not in config.backbones:
        arm = next(arm.name for arm in config.all_arms.values() if arm.backbone == name)
        raise ValueError(
            f"arms: {arm!r} is of backbone {name!r}, which is not one of the backbones ({', '.join(config.backbones)})"
        )
    architecture = config.backbones[name].architecture
    if config.recipe_of(name).zero_gamma and (mistake := mistake_in_zero_gamma(architecture)):
        raise ValueError(f"pretrain.zero_gamma: {mistake}")
    arms = [arm for arm in config.all_arms.values() if (arm.backbone or config.backbone) == name]
    seen = [place for arm in arms for place in (arm.source or config.source, *config.targets_of_arm(arm))]
    if name == config.backbone:
        seen = [config.source, *config.targets, *config.grid_targets, *seen]
    blocks = {target: config.data_sets[target] for target in dict.fromkeys(seen)}
    with_size = {target: block for target, block in blocks.items() if not isinstance(block, EvaluationFolder)}
    are_sequences = {target: config.has_sequences(target) for target, block in blocks.items()}
    if mistake := mistake_in_data(architecture, are_sequences):
        raise ValueError(f"backbones.{name}.architecture: {mistake}")
    sizes = {target: block.transform.size for target, block in with_size.items()}
    if mistake := mistake_in_sizes(architecture, sizes):
        raise ValueError(f"data_sets.{mistake}")


def check_evaluation_folders(config, arms: dict[str, Arm]):
    """That folders for evaluation only are read with a probe, and nothing is trained on them."""
    trainable = [name for name, block in config.data_sets.items() if not isinstance(block, EvaluationFolder)]
    if config.source not in trainable:
        raise ValueError(f"source: {config.source!r} is for evaluation only; choose one of {', '.join(trainable)}")
    for name, block in config.data_sets.items():
        if isinstance(block, EvaluationFolder) and block.probe_of not in trainable:
            raise ValueError(
                f"data_sets.{name}.probe_of: {block.probe_of!r} is not a data set that has a probe "
                f"({', '.join(trainable)})"
            )
    for arm in arms.values():
        only = [name for name in config.targets_of_arm(arm) if name not in trainable]
        if arm.transfer != "probe" and only:
            raise ValueError(
                f"arms: {arm.name!r} has `transfer: {arm.transfer}`, which leaves no probe to read {only[0]!r} with; "
                "take that data set out of `targets`, or the arm out"
            )


def check_published(config, arms: dict[str, Arm]):
    """That what is published of a backbone is of the study's source, and that each checkpoint has a file of its own."""
    if config.backbones[config.backbone].checkpoints is not None:
        raise ValueError(
            f"backbones.{config.backbone}.checkpoints: it is the study's backbone; write the block `checkpoints` at the top"
        )
    for name, block in config.publications.items():
        is_the_studys = name == config.backbone
        key = config.publication_key(name)
        own = [arm for arm in arms.values() if (arm.backbone or config.backbone) == name and arm.steps is not None]
        for arm in own:
            if (arm.source or config.source) != config.source:
                raise ValueError(
                    f"arms: {arm.name!r} is pretrained on {arm.source!r}, but its backbone {name!r} is the one that `{key}` "
                    "publishes; give it a backbone of its own"
                )
            if unknown := [seed for seed in arm.seeds or [] if seed not in config.pretrain.seeds]:
                raise ValueError(
                    f"arms: seed {unknown[0]} of {arm.name!r} is not in pretrain.seeds, whose places are the runs of "
                    f"`{key}`; add it there or take it out"
                )
        steps = {step for arm in own for step in arm.all_steps}
        used = config.pretrain.seeds
        if is_the_studys:
            steps |= set(config.pretrain.milestones)
        else:
            used = [seed for seed in used if any(seed in (arm.seeds or used) for arm in own)]
        block.check_places(key, config.pretrain.seeds, used, sorted(steps))
