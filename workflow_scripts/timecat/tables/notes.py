"""What a table's note says beside the numbers."""

from workflow_scripts.timecat.tables.arms import PROBE, mode


def views_note(data_sets: list[dict], arms: list[dict] | None = None) -> str:
    """A sentence, after a space, on how many views of the training images the probes read; "" if that is not known.

    arms: those of the table's rows; "" too where none of them is probed. data_sets: the table's columns in order; ``views`` of each is a number, "center", or None (evaluation only).
    """
    if arms and all(mode(arm) != PROBE for arm in arms):
        return ""
    titles: dict = {}
    for data_set in data_sets:
        if (views := data_set.get("views")) is not None:
            titles.setdefault(views, []).append(data_set["title"])
    if not titles:
        return ""
    parts = [f"{_number(views)} for {_listed(some)}" for views, some in titles.items()]
    return f" Training views of probes: {', '.join(parts)}."


def _number(views: int | str) -> str:
    return "the evaluation crop alone" if views == "center" else str(views)


def _listed(titles: list[str]) -> str:
    *first, last = titles
    return f"{', '.join(first)} and {last}" if first else last
