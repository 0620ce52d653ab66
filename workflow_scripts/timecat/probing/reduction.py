"""Reduce the features of a replicate to fewer dimensions before its probe: by principal components, or at random.

The concatenated columns of all members are standardised as batch norm does it, x̂ = (x - μ) / sqrt(σ² + 1e-5), and
projected: r = M x̂ with orthonormal rows of M [D, columns]. Members of an arm are equally wide, so with standardised
columns they have equal weight. μ, σ² and M are fitted once per replicate, to the training rows that are not held
out, in the first view. All views, all rows, both fits and later evaluations of the heads use the same projection.

pca     the eigenvectors of the largest eigenvalues of the covariance of x̂, in float64; the sign of each makes its
        largest loading positive. With D = all columns it is a rotation.
random  a Gaussian matrix, a function of the replicate's seeds, whose rows are made orthonormal one after the other: the
        rows for a smaller D are the first rows for a larger D.

tests.references.reduction computes both with NumPy and scikit-learn; tests check that both give the same results.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.memory import RESERVED_BYTES
from workflow_scripts.timecat.probing.heads import BN_EPS
from workflow_scripts.timecat.probing.projection import Projection
from workflow_scripts.timecat.probing.protocol import Reduction

if TYPE_CHECKING:
    from workflow_scripts.timecat.probing.training_rows import Piece

PIECE = 5_000  # approximate number of rows of the largest piece, a group of batches (see features.memory)


def check_dimensions(reduction: Reduction, columns: int, rows: int, where: str) -> None:
    """Raise UserError if ``reduce.dimensions`` is too large for the features.

    rows: number of rows that the projection is fitted to. where: description of the features, for the message.
    """
    if reduction.dimensions > columns:
        raise UserError(
            f"{where}: `reduce.dimensions` is {reduction.dimensions}, but the members have only {columns} features "
            f"together: lower it to {columns} or less"
        )
    if reduction.method == "pca" and reduction.dimensions > rows:
        raise UserError(
            f"{where}: `reduce.dimensions` is {reduction.dimensions}, but {rows} training rows have at most as many "
            f"principal components: lower it to {rows} or less"
        )


def fitted(reduction: Reduction, rows: Iterable["Piece"], members: Sequence[int]) -> tuple[Projection, float | None]:
    """Fit the projection of a replicate; return it and the share of the variance that it keeps (None for ``random``).

    rows: rows that the projection is fitted to; they are read twice. members: the replicate's seeds.
    """
    mean, count = _mean(rows)
    if reduction.method == "random":
        squares = torch.zeros_like(mean)
        for x, _ in rows:
            squares += (x - mean).square().sum(0)
        matrix = random_matrix(reduction.dimensions, len(mean), members).to(mean.device)
        return Projection(mean.float(), (squares / count).float(), matrix.float()), None
    products = mean.new_zeros(len(mean), len(mean))
    for x, _ in rows:
        centred = x.double() - mean
        products.addmm_(centred.T, centred)
    variance = products.diagonal() / count
    scale = torch.rsqrt(variance + BN_EPS)
    eigenvalues, vectors = torch.linalg.eigh(products / count * scale * scale.unsqueeze(1))  # ascending
    matrix = vectors.flip(1)[:, : reduction.dimensions].T
    largest = matrix.abs().argmax(1, keepdim=True)
    matrix = matrix * matrix.gather(1, largest).sign()
    share = eigenvalues.flip(0)[: reduction.dimensions].sum() / eigenvalues.sum()
    return Projection(mean.float(), variance.float(), matrix.float().contiguous()), float(share)


def room_beside(total: int, reduction: Reduction, columns: int) -> int:
    """Return how many of a device's ``total`` bytes are left beside a projection and the pieces that it reduces.

    Raise UserError if the device is too small to compute principal components: the covariance, its eigenvectors and
    workspace are [columns, columns] each, in float64.
    """
    needed = 8 * 5 * columns**2 + RESERVED_BYTES
    if reduction.method == "pca" and needed > total:
        raise UserError(
            f"principal components of {columns} features need {needed / 1e9:.1f} GB on the GPU, which has "
            f"{total / 1e9:.1f} GB: use a GPU with more memory, set `reduce.method: random`, or compute on the CPU "
            "with --resources gpu=0"
        )
    return total - 4 * columns * (reduction.dimensions + 2) - PIECE * columns * (4 + 4)


def random_matrix(dimensions: int, columns: int, members: Sequence[int]) -> torch.Tensor:
    """Return the directions of method `random`, float64 [dimensions, columns], which depend on the arguments alone."""
    generator = torch.Generator().manual_seed(randomness.key("reduce", *members) >> 1)  # a generator takes 63 bits
    drawn = torch.empty(dimensions, columns, dtype=torch.float64).normal_(generator=generator)
    Q, R = torch.linalg.qr(drawn.T)
    return (Q * R.diagonal().sign()).T.contiguous()


def _mean(rows: Iterable["Piece"]) -> tuple[torch.Tensor, int]:
    """Return the mean of rows, float64 [columns], and their number."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for x, _ in rows:
        total, count = total.to(x.device) + x.sum(0, dtype=torch.float64), count + len(x)
    return total / count, count
