"""Fit the heads of a probe to convergence: multinomial logistic regression with a grid of L2 penalties, by L-BFGS.

Features are standardised as batch norm does it, x̂ = (x - μ) / sqrt(σ² + 1e-5), with the mean and the (biased) variance
of the fit's training rows in all views; without ``batch_norm`` they are used unchanged. The training rows of all views
are stacked into one objective (see lbfgs): it is what SGD's passes over views minimise in expectation. Weight decays
differ only in the penalty, which applies to W alone. Nothing is random. Reduced features (see reduction) are
standardised before they are reduced and not after: the penalty treats all directions alike, and W is the W of the whole
features, confined to fewer directions.

Heads, files and selections are those of probing.probe, with γ = 1, β = 0 and a single epoch. The fit `nine_tenths`
comes first, and the searches of `full` begin near its solutions. So the held-out rows have no influence on the heads
that are evaluated on them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.files import EVALUATION, HELDOUT, Tables, check_features
from workflow_scripts.timecat.features.memory import RESERVED_BYTES, evaluation_chunk, stacked_bytes
from workflow_scripts.timecat.probing.heads import StackedHeads
from workflow_scripts.timecat.probing.lbfgs import HISTORY, Solution, Solver
from workflow_scripts.timecat.probing.objective import heads_of, normalised, relative_gradients
from workflow_scripts.timecat.probing.probe import (
    Machine,
    Probe,
    chosen_rows,
    evaluate,
    file_rows,
    reduced_tables,
    with_gradients,
)
from workflow_scripts.timecat.probing.protocol import Regression
from workflow_scripts.timecat.probing.saved_heads import saved_head
from workflow_scripts.timecat.probing.scoring import DataSet, Epochs, Scores, gathered, report, row_scores
from workflow_scripts.timecat.probing.training_rows import Piece, TrainingRows
from workflow_scripts.timecat.runtime import command


@dataclass(frozen=True)
class Standardisation:
    """Mean to subtract from features, and variance (or None) to divide them by as batch norm does: float32 [D]."""

    mean: torch.Tensor
    variance: torch.Tensor | None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean if self.variance is None else normalised(x, self.mean, self.variance)


def standardisation(rows: Iterable[Piece], batch_norm: bool) -> Standardisation:
    """Return the standardisation of rows. Without batch norm it only centres them, which ``stacked`` undoes."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for x, _ in rows:
        total, count = total.to(x.device) + x.sum(0, dtype=torch.float64), count + len(x)
    mean = total / count
    if not batch_norm:
        return Standardisation(mean.float(), None)
    squares = torch.zeros_like(mean)
    for x, _ in rows:
        squares += (x - mean).square().sum(0)
    return Standardisation(mean.float(), (squares / count).float())


def stacked(
    solutions: Sequence[Solution], standard: Standardisation, weight_decays: Sequence[float], device: str
) -> StackedHeads:
    """Return the solutions as stacked heads, in the order of the weight decays."""
    batch_norm = standard.variance is not None
    # These heads are not trained further, so momentum has no effect.
    heads = StackedHeads(solutions[0].W.cpu(), weight_decays, momentum=0.0, batch_norm=batch_norm, device=device)
    for index, solution in enumerate(solutions):
        heads.W[index].copy_(solution.W)
        heads.b[index].copy_(solution.b if batch_norm else solution.b - solution.W @ standard.mean)
    if standard.variance is not None:
        heads.running_mean.copy_(standard.mean)
        heads.running_var.copy_(standard.variance)
    return heads


class Fits:
    """Both fits of a replicate, computed one after the other.

    memory: bytes that the standardised rows of a fit may take; if they need more, they are computed again in each pass.
    """

    def __init__(self, data: DataSet, protocol: Regression, machine: Machine, memory: float) -> None:
        self._data, self._protocol, self._device, self._memory = data, protocol, machine.device, memory
        self._starts: dict[float, Solution] | None = None

    def fit(self, name: str, rows: TrainingRows) -> tuple[StackedHeads, Scores]:
        """Return a fit's heads and their scores on its training rows. A second fit starts near the first solutions."""
        decays = self._protocol.weight_decays
        # Columns are standardised only once: reduced features were standardised before they were reduced.
        standard = standardisation(rows, self._protocol.batch_norm and self._protocol.reduce is None)

        def made() -> Iterator[Piece]:
            """Return an iterator over the standardised pieces of the rows, computed again in each call."""
            return ((standard(x), labels) for x, labels in rows)

        kept = list(made()) if fit_bytes(rows) <= self._memory else None
        solver = Solver(lambda: made() if kept is None else kept, self._data.classes, rows.dimension, self._device)
        found = solver.path(decays, self._starts)
        self._starts = found
        for weight_decay, solution in found.items():
            command.log(
                f"{name}, weight decay {weight_decay:g}: {solution.steps} steps, relative gradient "
                f"{solution.relative_gradient:.1e}"
            )
        heads = stacked([found[decay] for decay in decays], standard, decays, self._device)
        score = gathered(row_scores(heads.logits(x), labels) for x, labels in rows)
        return heads, replace(score, predicted=None, probability=None)


def fit_bytes(rows: TrainingRows) -> int:
    """Return the number of bytes of a fit's standardised rows."""
    return 4 * len(rows) * rows.dimension


def regress_replicate(
    replicate: int,
    members: Sequence[int],
    folders: Sequence[PathLike],
    views: Sequence[str],
    data: DataSet,
    protocol: Regression,
    machine: Machine = Machine(),
) -> Probe:
    """Probe one replicate to convergence. The arguments are those of probe.probe_replicate.

    Raise UserError if features are missing or do not fit the index.
    """
    files, data = file_rows(data, views), data.of_replicate(replicate)
    check_features(folders, files)
    reduction = protocol.reduce
    dimension = Tables(folders, files, 0).dimension if reduction is None else reduction.dimensions
    sizes = len(protocol.weight_decays), data.classes, dimension
    room, left = _memory(machine, len(views) * len(data.train_labels), sizes)
    whole = Tables(folders, files, left, chosen_rows(data, views))
    tables, projection = reduced_tables(whole, protocol, members, views, data, machine.device)
    evaluated = {
        "nine_tenths": ("heldout", HELDOUT, data.train_labels[data.heldout]),
        "full": ("evaluation", EVALUATION, data.evaluation_labels),
    }
    every = np.arange(len(data.train_labels))
    wanted = {name: np.isin(every, own) for name, own in data.fits().items()}
    fits, scores = Fits(data, protocol, machine, room), dict[str, Epochs]()
    rows: TrainingRows | None = None
    for name, (split, file, labels) in evaluated.items():
        rows = None  # free the last view before a view is read again: a view may fill most of the memory
        rows = TrainingRows(tables, views, wanted[name], data, machine.device)
        heads, trained = fits.fit(name, rows)
        score = evaluate(heads, tables.read(file), labels, machine.device)
        if name != "full":  # only predictions of the full fit are reported
            score = replace(score, predicted=None, probability=None)
        scores[name] = [{"train": trained, split: score}]
        if name == "full":
            gradients = relative_gradients(heads_of(heads), protocol.weight_decays, rows, by_sgd=False)

    decays = list(protocol.weight_decays)
    where = f"features {', '.join(map(str, folders))}"
    in_order = {name: scores[name] for name in data.fits()}
    found = report(replicate, members, data, decays, in_order, where, block="probe")
    metrics = with_gradients(found.metrics, {(decay, 1): float(each) for decay, each in zip(decays, gradients)})
    selected = {name: saved_head(heads, decays.index(each.weight_decay)) for name, each in found.selected.items()}
    return Probe(**vars(found) | {"metrics": metrics}, heads=selected, projection=projection)


def device_bytes(heads: int, classes: int, dim: int) -> int:
    """Return the peak number of bytes of a fit's tensors on its device, without standardised rows that are kept.

    heads: number of weight decays (H). dim: dimension of all members together (D). The search keeps its history, its
    point and a direction, float32 [C, D] each, and sums in float64. x̂ᵀx̂, its eigenvectors and their workspace are
    [D, D].
    """
    search = classes * dim * (4 * (2 * HISTORY + 10) + 8 * 2)
    solutions = classes * dim * 4 * 2 * heads
    piece = evaluation_chunk(classes) * (16 * dim + 16 * classes)
    return max(search, 40 * dim * dim) + solutions + piece + stacked_bytes(heads, classes, dim) * 2


def check_device(total: int, heads: int, classes: int, dim: int) -> None:
    """Raise UserError if a regression needs more than the ``total`` bytes of a device."""
    needed = device_bytes(heads, classes, dim) + RESERVED_BYTES
    if needed > total:
        raise UserError(
            f"a regression of {classes} classes x {dim} features with {heads} weight decays needs "
            f"{needed / 1e9:.1f} GB on the GPU, which has {total / 1e9:.1f} GB: use a GPU with more memory, set "
            "`solver: sgd`, or compute on the CPU with --resources gpu=0"
        )


def _memory(machine: Machine, rows: int, sizes: tuple[int, int, int]) -> tuple[float, float]:
    """Return the bytes for the standardised rows of a fit (0 if they do not fit), and the bytes for features as stored.

    rows: number of rows of all views. sizes: weight decays, classes, dimension.
    """
    if machine.device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        return 0.9 * (total - RESERVED_BYTES - device_bytes(*sizes)), machine.memory
    whole = 4 * rows * sizes[2]
    return (whole, machine.memory - whole) if 2 * whole <= machine.memory else (0, machine.memory)
