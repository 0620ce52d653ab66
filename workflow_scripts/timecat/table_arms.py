"""What the table and its figure say of an arm: its budget, and how it is transferred to a target."""

NO_STEPS = "–"
PROBE = "probe"

# How arms are transferred, for the reader of a table; {arms} stands for their names, {dash} for NO_STEPS.
MODES = {
    PROBE: "{arms}: frozen backbones, a probe on their concatenated features.",
    "finetune": "{arms}: fine-tuned, that is, the backbones are trained on the target as well, side by side with one linear "
    "layer on their concatenated features; the steps are those of pretraining.",
    "direct": "{arms}: direct, that is, the same network trained on the target alone from a fresh start; there is no "
    "pretraining, hence no steps ({dash}).",
}


def mode(arm: dict) -> str:
    """How an arm is transferred, a key of MODES."""
    return arm.get("transfer", PROBE)


def total_steps(arm: dict) -> int | None:
    """Steps of pretraining of all members; None for an arm that is not pretrained."""
    return None if arm["steps"] is None else arm["members"] * arm["steps"]


def budget_cells(arm: dict) -> list[str]:
    """Members × steps and total steps, as a reader sees them."""
    total = total_steps(arm)
    if total is None:
        return [f"{arm['members']} × {NO_STEPS}", NO_STEPS]
    return [f"{arm['members']} × {arm['steps']:,}", f"{total:,}"]


def notes(rows, written, dash: str = NO_STEPS) -> list[str]:
    """A sentence for each way in which the arms of tables.Row are transferred; none where all are probed.

    written(name): how the name of an arm looks. dash: what stands for steps that there are none of.
    """
    names = {}
    for row in rows:
        names.setdefault(mode(row.arm), []).append(written(row.arm["name"]))
    if list(names) == [PROBE]:
        return []
    return [MODES[key].format(arms=", ".join(names[key]), dash=dash) for key in MODES if key in names]
