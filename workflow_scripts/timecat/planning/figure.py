"""The figure of a plan: wall-clock time against devices, a line for each number of GPUs of one pretraining job."""

import io
from pathlib import Path

from workflow_scripts.timecat.planning.devices import OnDevices
from workflow_scripts.timecat.planning.schedule import work
from workflow_scripts.timecat.tables.figures.drawing import SETTINGS, private_matplotlib

LOOKS = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": (0, (4, 2))},
    {"color": "#009E73", "marker": "^", "linestyle": (0, (1, 1))},
    {"color": "#CC79A7", "marker": "D", "linestyle": (0, (4, 1, 1, 1))},
)
MOST = 1024  # devices
DAY = 86400
TICKS = (
    *((seconds / DAY, f"{seconds} s") for seconds in (1, 4, 15)),
    *((60 * minutes / DAY, f"{minutes} min") for minutes in (1, 4, 15)),
    *((3600 * hours / DAY, f"{hours} h") for hours in (1, 6)),
    *((days, f"{days} day{'s' if days > 1 else ''}") for days in (1, 4, 16, 64, 256)),
)


def wall_clock_figure(cases: list[OnDevices], folder: Path) -> bytes:
    """SVG; its bytes are a function of what is drawn. folder: where Matplotlib may keep files while it draws."""
    with private_matplotlib(folder):
        return _drawn(cases)


def _drawn(cases: list[OnDevices]) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    numbers = [2**power for power in range(MOST.bit_length())]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        panel = figure.subplots()
        one = cases[0].tasks(1)
        panel.plot(numbers, [work(one) / number / DAY for number in numbers], color="0.7", linewidth=1)
        panel.annotate("work / GPUs", (numbers[-4], work(one) / numbers[-4] / DAY), (-4, -10), color="0.45", ha="right",
                       textcoords="offset points")  # fmt: skip
        for case, look in zip(cases, LOOKS, strict=False):
            days = [case.wall_clock(number) / DAY for number in numbers]
            panel.plot(numbers, days, label=f"pretrain_gpus: {case.pretrain_gpus or 'as the config'}", **look)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(numbers[::2], [f"{number}" for number in numbers[::2]])
        low, high = panel.get_ylim()
        panel.set_yticks(*zip(*((days, label) for days, label in TICKS if low <= days <= high)))
        panel.minorticks_off()
        panel.set_xlabel(f"{cases[0].costs.device.title}s")
        panel.set_ylabel("wall-clock time")
        panel.grid(color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.legend(frameon=False)
        file = io.BytesIO()
        canvas.print_svg(file, metadata={"Date": None, "Creator": None, "Title": "Wall-clock time against devices"})
    return file.getvalue()
