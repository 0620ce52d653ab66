"""Compute the memory that a probe needs on the host and on a GPU, and check that the GPU's memory is sufficient.

The limit on host memory (limits.memory_gb in the config) is for features in memory: one view of all training rows, the
held-out rows and the evaluation rows, with the members' features concatenated, for one replicate at a time. It does not
include the few batches that are gathered and widened together, labels, predictions, and torch itself.
"""

import math
from typing import Any

from workflow_scripts.timecat.errors import UserError

# Number of batches whose rows are gathered and widened to float32 together. It is large enough to make the calls cheap
# and small enough (168 MB at dimension 10240) that a view is never in memory twice.
GATHERED_BATCHES = 16

# Bytes of GPU memory that the functions below do not count: CUDA's context, cuBLAS's workspace, gaps between tensors.
RESERVED_BYTES = 2**31


def share_memory(memory: float, tables: dict[str, int]) -> tuple[set[str], float]:
    """Return (names of tables to keep in memory, bytes for windows on the remaining tables).

    memory: available bytes. tables: name -> bytes, sorted by the cost of reading the table from disk, the highest
    first. (A training view costs most, because it is read in a new order every epoch; the other tables are read front
    to back.) All tables are kept if they fit. Otherwise a quarter of the memory is reserved for windows, the tables are
    kept one after another if they fit in the rest, and the windows get all memory that remains.
    """
    if sum(tables.values()) <= memory:
        return set(tables), 0
    kept, left = set(), 0.75 * memory
    for name, size in tables.items():
        if size <= left:
            kept.add(name)
            left -= size
    return kept, left + 0.25 * memory


def evaluation_chunk(classes: int) -> int:
    """Return the number of rows to score at a time, which limits memory. It does not depend on the number of heads."""
    return max(64, min(1024, 2**22 // classes))


def stacked_bytes(heads: int, classes: int, dim: int, batch_norm: bool = True) -> int:
    """Return the most bytes that the StackedHeads of one fit hold on their device, in float32.

    The stacked heads hold W and b, with batch norm also γ and β, and a gradient and a momentum for each of these. Batch
    norm adds W' and b' (as large as W and b) and the running statistics.
    """
    H, C, D = heads, classes, dim
    line = 32  # on the CPU the parts of a head begin at multiples of this many numbers
    weight, bias, affine = (H * math.ceil(size / line) * line for size in (C * D, C, D))
    parameters = weight + bias + 2 * affine * batch_norm
    return 4 * (3 * parameters + (weight + bias + 2 * D) * batch_norm + H + 1)


def device_bytes(
    heads: int, classes: int, dim: int, batch_size: int, rows: int, *, batch_norm: bool = True, stored: int = 2
) -> int:
    """Return the most bytes of tensors that a probe has on its device at the same time.

    heads: number of weight decays (H). dim: dimension of all members together (D). rows: number of training rows.
    stored: bytes of a feature on disk. Each of the two fits holds W, its gradient, its momentum and a product, [H, C,
    D] each. In addition there is either a gathered group of batches with the tensors of one step, or the tensors for
    scoring a chunk of rows: first its features as stored, widened and normalised, with logits [H, C, rows], then two
    tensors [H, C, rows]. Both have some numbers per row, too.
    """
    C, D, chunk = classes, dim, evaluation_chunk(classes)
    group, batch = min(GATHERED_BATCHES * batch_size + 1, rows), min(batch_size + 1, rows)
    normalised = 4 * D if batch_norm else 0  # bytes of a row of x̂
    few = 64 * (heads + 1)  # bytes per row: losses, hits, predictions of every head
    training = group * (D * (stored + 4) + 8) + batch * (8 * heads * C + few) + (batch + 2) * normalised
    logits = 4 * heads * C  # bytes of a row
    scoring = chunk * (D * stored + 8 + few + max(4 * D + normalised + logits, 2 * logits)) + 2 * normalised
    outcomes = 2 * 24 * heads * (rows // batch_size + 1)  # results of an epoch's steps, kept until its end
    return 2 * stacked_bytes(heads, C, D, batch_norm) + outcomes + max(training, scoring)


def check_device(
    total: int, weight_decays: int, classes: int, dim: int, batch_size: int, rows: int, **options: Any
) -> None:
    """Raise UserError, with remedies, if a probe needs more than ``total`` bytes on its device.

    options: keyword arguments of device_bytes.
    """

    def fits(heads: int, size: int) -> bool:
        return device_bytes(heads, classes, dim, size, rows, **options) + RESERVED_BYTES <= total

    if fits(weight_decays, batch_size):
        return
    needed = device_bytes(weight_decays, classes, dim, batch_size, rows, **options) + RESERVED_BYTES
    heads = next((count for count in range(weight_decays, 0, -1) if fits(count, batch_size)), 0)
    size = next((size for size in (128, 64, 32) if size < batch_size and fits(weight_decays, size)), 0)
    remedies = [f"lower probe.batch_size to {size}"] if size else []
    remedies += [f"give weight_decays {heads} value{'s' * (heads > 1)} at most"] if heads else []
    remedies += ["use a GPU with more memory", "compute on the CPU with --resources gpu=0"]
    raise UserError(
        f"{weight_decays} weight decays of {classes} classes x {dim} features, in batches of {batch_size}, need"
        f" {needed / 1e9:.1f} GB on the GPU, which has {total / 1e9:.1f} GB: {', or '.join(remedies)}"
    )
