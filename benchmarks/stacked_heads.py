"""A training step of stacked heads: one weight decay against six, and against separate torch modules."""

from benchmarks.timing import medians_side_by_side

GRID = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05]


def section() -> list[str]:
    """Lines of the page."""
    return [
        "## Stacked heads",
        "",
        "One training step, batch 256, one thread:",
        "",
        *heads_table(),
        "",
        "On a CPU the last row is bound by its matrix products, which are six times as many: nothing exact makes them fewer. They",
        "cost less than separate heads all the same. On a GPU, where one head leaves most of the device idle, it was not measured.",
    ]


def heads_table() -> list[str]:
    """One training step of stacked heads: one weight decay against six, and against separate torch modules."""
    import torch

    from workflow_scripts.timecat import heads, heads_reference, torch_settings

    torch_settings.configure(1)
    lines = ["| features x classes | 1 weight decay, ms | 6 stacked, ms | ratio | 6 separate torch heads, ms | ratio |"]
    lines.append("|---|---|---|---|---|---|")
    for dimension, classes in ((160, 16), (2048, 100)):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(256, dimension, generator=generator)
        labels = torch.randint(classes, (256,), generator=generator)
        weight = 0.01 * torch.randn(classes, dimension, generator=generator)
        made = {
            "one": heads.StackedHeads(weight, GRID[:1]),
            "six": heads.StackedHeads(weight, GRID),
            "separate": heads_reference.ReferenceHeads(weight, GRID),
        }
        steps = 200 if dimension < 1000 else 40

        def train(head, steps=steps, features=features, labels=labels):
            for _ in range(steps):
                head.train_step(features, labels, 0.01)

        medians = medians_side_by_side({name: lambda head=head: train(head) for name, head in made.items()})
        one, six, separate = (1000 * medians[name] / steps for name in ("one", "six", "separate"))
        lines.append(
            f"| {dimension} x {classes} | {one:.2f} | {six:.2f} | {six / one:.2f} | {separate:.2f} | {separate / six:.1f} |"
        )
    return lines
