"""Write the notes of a table on its arms and its data sets."""

from collections.abc import Iterable, Sequence

from workflow_scripts.timecat.tables.model import NO_STEPS, PROBE, Arm, Changes, DataSet
from workflow_scripts.timecat.tables.table import Phrase, Term, listed

# Descriptions of the ways in which arms are transferred, printed below tables.
MODES = {
    PROBE: "the backbones are frozen, and a probe is trained on their concatenated features.",
    "finetune": "fine-tuning of the backbones on the target, together with one linear layer on their concatenated "
    "features. The steps are those of pretraining.",
    "direct": "direct training of the same network from scratch on the target alone. It has no pretraining, so no "
    f"steps are given ({NO_STEPS}).",
    "reweight": "the backbones are frozen, and a last layer on their concatenated features is trained on balanced "
    "groups (deep feature reweighting).",
}


# Names of the reductions of features, and how to read an accuracy on reduced features.
REDUCED_BY = {"pca": "principal components", "random": "random directions"}
LOWER_BOUND = "a lower bound on what the features allow at that width, because other directions may allow more"


def arm_notes(arms: Iterable[Arm]) -> tuple[Phrase, ...]:
    """Return notes on the ways in which arms are transferred (unless all are probed), and on special kinds of arms."""
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
    """Return a phrase for each special property of an arm, such as members from one run or published weights."""
    kinds: list[Phrase] = []
    if arm.one_seed:
        snapshots = isinstance(arm.steps, tuple)
        what = (
            "the members are snapshots of one run" if snapshots else "the members are copies of a checkpoint of one run"
        )
        kinds.append((f"{what}, and the total steps are those of that run",))
    if arm.solver == "lbfgs":
        kinds.append(("the probes are logistic regressions fitted to convergence",))
    if arm.on_target:
        kinds.append(("pretrained on each target itself, with the recipe and number of steps of the other arms",))
    if arm.reduce is not None:
        kinds.append(
            (
                f"features reduced to {arm.reduce.dimensions} {REDUCED_BY[arm.reduce.method]}, so the accuracy is "
                f"{LOWER_BOUND}",
            )
        )
    if arm.training:
        kinds.append(("trained with ", _changes(arm.training)))
    if arm.backbone:
        changes = arm.backbone.changes
        recipe: Phrase = (", pretrained with ", _changes(changes)) if changes else ()
        kinds.append(("backbone ", Term(arm.backbone.name), *recipe))
    if arm.pretrained_on:
        kinds.append((f"published weights, pretrained on {arm.pretrained_on}",))
    if arm.published:
        kinds.append(("published figures, taken from the config, come from their authors' data, recipe and probe",))
    return kinds


def cost_notes(arms: Sequence[Arm], baseline: str) -> tuple[Phrase, ...]:
    """Return notes on the pretraining cost of arms whose networks differ from the baseline's, if it is counted."""
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
                    f": {arm.macs / 1e6:.2f}M multiply-adds per image in one network, {step:.2f} × those in ",
                ),
                *(Term(base.name), f"; over all steps {step * arm.total_steps / base.total_steps:.2f} × as many."),
            )
        )
    return tuple(notes)


def _changes(changes: Changes) -> Term:
    return Term(", ".join(f"{key} {value}" for key, value in changes.items()))


def masked_notes(data_sets: Iterable[DataSet]) -> tuple[Phrase, ...]:
    """Return the note on data sets for evaluation only, or nothing if there are none."""
    of = [f"{data_set.title}: heads of {data_set.probe_of}" for data_set in data_sets if data_set.probe_of is not None]
    if not of:
        return ()
    note = "Evaluated with heads selected on another data set, with predictions masked to the classes that occur"
    return ((f"{note} ({'; '.join(of)}).",),)


def draws_notes(data_sets: Iterable[DataSet]) -> tuple[Phrase, ...]:
    """Return the note on draws of training rows of few-shot data sets, or nothing if none has several draws."""
    numbers = [f"{data_set.title}: {data_set.draws} draws" for data_set in data_sets if data_set.draws > 1]
    if not numbers:
        return ()
    note = (
        f"Replicates train on different draws of the training rows ({'; '.join(numbers)}). Replicate r of every arm "
        "uses the same draw; with more replicates than draws, the draws start again from the first."
    )
    return ((note,),)


def views_note(data_sets: Iterable[DataSet], arms: Sequence[Arm] = ()) -> str:
    """Return a sentence, after a space, on how many views of the training images probes read, or "" if unknown.

    arms: the arms of the table's rows. Return "" as well if there are arms and none of them is probed.
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
    return f" Views of the training images that probes read: {', '.join(parts)}."


def _number(views: int | str) -> str:
    return "the evaluation crop alone" if views == "center" else str(views)


def _enumerated(titles: list[str]) -> str:
    *first, last = titles
    return f"{', '.join(first)} and {last}" if first else last
