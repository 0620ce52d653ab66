"""Features of a replicate reduced to fewer dimensions before its probe: by principal components, or at random.

The columns of all members side by side are standardised as batch norm does it, x̂ = (x - μ) / sqrt(σ² + 1e-5), and projected:
r = M x̂ with orthonormal rows of M [D, columns]. Members of an arm are equally wide, so with standardised columns they weigh
alike. μ, σ² and M are fitted once for a replicate, to the training rows without those held out, in the first view; all
views, rows and both fits see the same projection, and so does what evaluates the heads.

pca     the eigenvectors of the largest eigenvalues of the covariance of x̂, in float64; of each the loading of largest size is
        positive. With D = all columns it is a rotation.
random  a Gaussian matrix, a function of the replicate's seeds, with its rows made orthonormal one after the other: those of a
        smaller D are the first ones of a larger.

tests.references.reduction does both with NumPy and scikit-learn; tests hold them equal.
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

PIECE = 5_000  # rows of a piece at most, about: a group of batches (features.memory)


def check_dimensions(reduction: Reduction, columns: int, rows: int, where: str) -> None:
    """UserError where features cannot be reduced to so many dimensions. rows: that a projection is fitted to."""
    if reduction.dimensions > columns:
        raise UserError(
            f"{where}: `reduce.dimensions` is {reduction.dimensions}, and its members have {columns} features together; "
            f"lower it to {columns} or less"
        )
    if reduction.method == "pca" and reduction.dimensions > rows:
        raise UserError(
            f"{where}: `reduce.dimensions` is {reduction.dimensions}, and {rows} training rows have no more principal "
            f"components than that; lower it to {rows} or less"
        )


def fitted(reduction: Reduction, rows: Iterable["Piece"], members: Sequence[int]) -> tuple[Projection, float | None]:
    """The projection of a replicate, and with principal components the share of the variance that they hold.

    rows: those that it is fitted to, read twice. members: the replicate's seeds.
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
    """Bytes that a projection and the pieces that it reduces leave of a device of ``total`` bytes.

    UserError where principal components cannot be found there: the covariance, its eigenvectors and workspace are [columns,
    columns] each, in float64."""
    needed = 8 * 5 * columns**2 + RESERVED_BYTES
    if reduction.method == "pca" and needed > total:
        raise UserError(
            f"principal components of {columns} features need {needed / 1e9:.1f} GB on the GPU, which has {total / 1e9:.1f} GB: "
            "use one with more memory, set `reduce.method: random`, or compute on the CPU with --resources gpu=0"
        )
    return total - 4 * columns * (reduction.dimensions + 2) - PIECE * columns * (4 + 4)


def random_matrix(dimensions: int, columns: int, members: Sequence[int]) -> torch.Tensor:
    """The directions of method `random`: float64 [dimensions, columns], a function of the arguments alone."""
    generator = torch.Generator().manual_seed(randomness.key("reduce", *members) >> 1)  # a generator takes 63 bits
    drawn = torch.empty(dimensions, columns, dtype=torch.float64).normal_(generator=generator)
    Q, R = torch.linalg.qr(drawn.T)
    return (Q * R.diagonal().sign()).T.contiguous()


def _mean(rows: Iterable["Piece"]) -> tuple[torch.Tensor, int]:
    """The mean of rows, float64 [columns], and their number."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for x, _ in rows:
        total, count = total.to(x.device) + x.sum(0, dtype=torch.float64), count + len(x)
    return total / count, count
