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
    "reweight": "{arms}: frozen backbones, a last layer of their concatenated features trained on balanced groups (deep "
    "feature reweighting).",
}


def mode(arm: dict) -> str:
    """How an arm is transferred, a key of MODES."""
    return arm.get("transfer", PROBE)


def all_steps(arm: dict) -> list[int] | None:
    """Steps of pretraining of each member; None for an arm that is not pretrained."""
    steps = arm["steps"]
    return steps if steps is None or isinstance(steps, list) else [steps] * arm["members"]


def single_steps(arm: dict) -> int | None:
    """Steps of all members, where they are the same; else None."""
    return None if isinstance(arm["steps"], list) else arm["steps"]


def total_steps(arm: dict) -> int | None:
    """Steps of pretraining of all members, of one run where all are of one; None for an arm that is not pretrained."""
    steps = all_steps(arm)
    return None if steps is None else max(steps) if arm.get("one_seed") else sum(steps)


def budget_cells(arm: dict) -> list[str]:
    """Members × steps and total steps, as a reader sees them."""
    total, steps = total_steps(arm), arm["steps"]
    if total is None:
        return [f"{arm['members']} × {NO_STEPS}", NO_STEPS]
    text = f"({', '.join(f'{each:,}' for each in steps)})" if isinstance(steps, list) else f"{steps:,}"
    return [f"{arm['members']} × {text}", f"{total:,}"]


def published_of(arm: dict, data_set: str) -> str:
    """The published accuracy, as it was published; "" if there is none."""
    percent = arm.get("published", {}).get(data_set)
    return "" if percent is None else f"{percent:g}"


def parameters_text(number: int) -> str:
    """A number of parameters as a reader sees it: 23.5M, 29.3k."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.1f}k"


def _counts_parameters(rows) -> bool:
    return any("parameters" in row.arm for row in rows)


def fixed_titles(rows, budget: str) -> list[str]:
    """Titles of the columns before the data sets'; budget: of members × steps."""
    return ["method", *["parameters"] * _counts_parameters(rows), budget, "total steps", "n"]


def fixed_cells(row, rows) -> list[str]:
    """Method, parameters if any of the rows has them, members × steps, total and n, as a reader sees them."""
    parameters = [parameters_text(row.arm["parameters"])] if _counts_parameters(rows) else []
    return [row.arm["name"], *parameters, *budget_cells(row.arm), str(row.replicates)]


def steps_cell(arm: dict) -> int | str | None:
    """Steps of each member in a CSV: a number, or where they differ those of each, one after the other."""
    return " ".join(map(str, arm["steps"])) if isinstance(arm["steps"], list) else arm["steps"]


def csv_header(rows) -> list[str]:
    """Names of the same columns in a CSV, where members and steps are apart."""
    parameters = ["parameters"] * _counts_parameters(rows)
    return ["method", *parameters, "members", "steps_per_member", "total_steps", "replicates"]


def csv_cells(row, rows) -> list:
    """Their values."""
    arm = row.arm
    parameters = [arm["parameters"]] if _counts_parameters(rows) else []
    return [arm["name"], *parameters, arm["members"], steps_cell(arm), total_steps(arm), row.replicates]


def notes(rows, written, dash: str = NO_STEPS) -> list[str]:
    """A sentence for each way in which the arms of accuracies.Row are transferred, where not all are probed, and for what an
    arm is made of, where that is not a run for each member.

    written(name): how the name of an arm, or another word of the config, looks. dash: for steps that there are none of.
    """
    ways, kinds = {}, {}
    for row in rows:
        name = written(row.arm["name"])
        ways.setdefault(mode(row.arm), []).append(name)
        for kind in _kinds(row.arm, written):
            kinds.setdefault(kind, []).append(name)
    if list(ways) in ([PROBE], []):
        ways = {}
    sentences = [MODES[key].format(arms=", ".join(ways[key]), dash=dash) for key in MODES if key in ways]
    return [*sentences, *(f"{', '.join(names)}: {kind}." for kind, names in kinds.items())]


def _listed(changes: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in changes.items())


def _kinds(arm: dict, written) -> list[str]:
    """What is special about an arm's members, in words."""
    kinds = []
    if arm.get("one_seed"):
        what = (
            "snapshots of one run"
            if isinstance(arm["steps"], list)
            else "one checkpoint, as often as there are members"
        )
        kinds.append(f"{what}; total steps are those of that run")
    if "training" in arm:
        kinds.append(f"trained with {written(_listed(arm['training']))}")
    if "backbone" in arm:
        changes = _listed(arm["backbone"]["changes"])
        recipe = f", pretrained with {written(changes)}" if changes else ""
        kinds.append(f"backbone {written(arm['backbone']['name'])}{recipe}")
    if "pretrained_on" in arm:
        kinds.append(f"published weights, pretrained on {arm['pretrained_on']}")
    if arm.get("published"):
        kinds.append("published figures are of their authors' data, recipe and probe, as the config states them")
    return kinds
