"""What a table says beside the numbers: of its arms and of its data sets."""

from collections.abc import Iterable, Sequence

from workflow_scripts.timecat.tables.model import NO_STEPS, PROBE, Arm, Changes, DataSet
from workflow_scripts.timecat.tables.table import Phrase, Term, listed

# How arms are transferred, for the reader of a table.
MODES = {
    PROBE: "frozen backbones, a probe on their concatenated features.",
    "finetune": "fine-tuned, that is, the backbones are trained on the target as well, side by side with one linear "
    "layer on their concatenated features; the steps are those of pretraining.",
    "direct": "direct, that is, the same network trained on the target alone from a fresh start; there is no "
    f"pretraining, hence no steps ({NO_STEPS}).",
    "reweight": "frozen backbones, a last layer of their concatenated features trained on balanced groups (deep "
    "feature reweighting).",
}


# How features are reduced, and what an accuracy on reduced features says.
REDUCED_BY = {"pca": "principal components", "random": "random directions"}
LOWER_BOUND = "a lower bound on what the features hold at that width, for another choice of directions may hold more"


def arm_notes(arms: Iterable[Arm]) -> tuple[Phrase, ...]:
    """Return a sentence for each way in which arms are transferred, where not all are probed, and for what an arm is made
    of, where that is not a run for each member."""
    ways: dict[str, list[str]] = {}
    kinds: dict[Phrase, list[str]] = {}
    for arm in arms:
        ways.setdefault(arm.transfer, []).append(arm.name)
        for kind in _kinds(arm):
            kinds.setdefault(kind, []).append(arm.name)
    if set(ways) <= {PROBE}:
        ways = {}
    return (
        *((*listed(ways[mode]), f": {meaning}") for mode, meaning in MODES.items() if mode in ways),
        *((*listed(names), ": ", *kind, ".") for kind, names in kinds.items()),
    )


def _kinds(arm: Arm) -> list[Phrase]:
    """Return what is special about an arm's members."""
    kinds: list[Phrase] = []
    if arm.one_seed:
        snapshots = isinstance(arm.steps, tuple)
        what = "snapshots of one run" if snapshots else "one checkpoint, as often as there are members"
        kinds.append((f"{what}; total steps are those of that run",))
    if arm.solver == "lbfgs":
        kinds.append(("probes are logistic regressions to convergence",))
    if arm.on_target:
        kinds.append(("pretrained on each target itself, by the recipe and for the steps of the others",))
    if arm.reduce is not None:
        kinds.append((f"features reduced to {arm.reduce.dimensions} {REDUCED_BY[arm.reduce.method]}; {LOWER_BOUND}",))
    if arm.training:
        kinds.append(("trained with ", _changes(arm.training)))
    if arm.backbone:
        changes = arm.backbone.changes
        recipe: Phrase = (", pretrained with ", _changes(changes)) if changes else ()
        kinds.append(("backbone ", Term(arm.backbone.name), *recipe))
    if arm.pretrained_on:
        kinds.append((f"published weights, pretrained on {arm.pretrained_on}",))
    if arm.published:
        kinds.append(("published figures are of their authors' data, recipe and probe, as the config states them",))
    return kinds


def cost_notes(arms: Sequence[Arm], baseline: str) -> tuple[Phrase, ...]:
    """Return what pretraining costs in arms whose networks are not the baseline's, where multiply-adds are counted."""
    base = next((arm for arm in arms if arm.name == baseline), None)
    if base is None or not base.macs or not base.total_steps:
        return ()
    notes: list[Phrase] = []
    for arm in arms:
        if not arm.macs or not arm.total_steps or arm.macs == base.macs:
            continue
        step = arm.macs / base.macs
        notes.append(
            (
                *(
                    Term(arm.name),
                    f": {arm.macs / 1e6:.2f}M multiply-adds for an image in a network, {step:.2f} × those of ",
                ),
                *(Term(base.name), f"; × steps {step * arm.total_steps / base.total_steps:.2f} × as many."),
            )
        )
    return tuple(notes)


def _changes(changes: Changes) -> Term:
    return Term(", ".join(f"{key} {value}" for key, value in changes.items()))


def masked_notes(data_sets: Iterable[DataSet]) -> tuple[Phrase, ...]:
    """Return what a reader must know of data sets for evaluation only; nothing where there is none."""
    of = [f"{data_set.title}: {data_set.probe_of}" for data_set in data_sets if data_set.probe_of is not None]
    if not of:
        return ()
    note = "Read with the heads that were selected on another data set, predictions masked to the classes that occur"
    return ((f"{note} ({'; '.join(of)}).",),)


def draws_notes(data_sets: Iterable[DataSet]) -> tuple[Phrase, ...]:
    """Return how replicates draw the training rows of few-shot data sets; nothing where there is none with several draws."""
    numbers = [f"{data_set.title}: {data_set.draws} draws" for data_set in data_sets if data_set.draws > 1]
    if not numbers:
        return ()
    note = (
        f"Replicates train on different draws of the training rows ({'; '.join(numbers)}), and replicate r of every arm on "
        "the same one; where replicates are more than draws, they begin again with the first."
    )
    return ((note,),)


def views_note(data_sets: Iterable[DataSet], arms: Sequence[Arm] = ()) -> str:
    """Return a sentence, after a space, on how many views of the training images the probes read; "" if that is not known.

    arms: those of the table's rows; "" too where there are some and none of them is probed.
    """
    if arms and all(arm.transfer != PROBE for arm in arms):
        return ""
    titles: dict[int | str, list[str]] = {}
    for data_set in data_sets:
        if data_set.views is not None:
            titles.setdefault(data_set.views, []).append(data_set.title)
    if not titles:
        return ""
    parts = [f"{_number(views)} for {_enumerated(some)}" for views, some in titles.items()]
    return f" Training views of probes: {', '.join(parts)}."


def _number(views: int | str) -> str:
    return "the evaluation crop alone" if views == "center" else str(views)


def _enumerated(titles: list[str]) -> str:
    *first, last = titles
    return f"{', '.join(first)} and {last}" if first else last
