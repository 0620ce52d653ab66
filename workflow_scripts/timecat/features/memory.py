"""What a probe takes of a machine's memory and of a GPU's, as arithmetic: pure functions of sizes, and one check.

The host's memory (the config's limits.memory_gb) is what is kept of features: a view of all training rows, the held-out
and the evaluation rows, all members side by side, of one replicate at a time. It is not the few batches that are gathered
and widened at once, nor labels, predictions and torch itself.
"""

import math
from typing import Any

from workflow_scripts.timecat.errors import UserError

# Rows are gathered and widened to float32 for this many batches at a time: enough to make the calls cheap, little
# enough (168 MB at dimension 10240) never to hold a view twice.
GATHERED_BATCHES = 16

# Of a GPU, for what is not counted below: CUDA's context, cuBLAS's workspace, gaps between tensors.
RESERVED_BYTES = 2**31


def share_memory(memory: float, tables: dict[str, int]) -> tuple[set[str], float]:
    """Which tables to keep in memory, and the bytes that windows on the others may take: (names, bytes).

    memory: bytes. tables: bytes of each, in the order of what it costs to read them from disk: a training view is read in
    a new order every epoch, the rest front to back. All are kept if they fit. Else a quarter of the memory is set aside
    for windows, each table in turn is kept that fits in what is left, and windows get what remains of the whole.
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
    """Rows that are scored at a time: bounded memory, and not a function of the number of heads."""
    return max(64, min(1024, 2**22 // classes))


def stacked_bytes(heads: int, classes: int, dim: int, batch_norm: bool = True) -> int:
    """Bytes that the StackedHeads of one fit hold on their device, in float32, at most.

    W, b and, with batch norm, γ, β, each with gradient and momentum; W' and b', as large as W and b; running statistics.
    """
    H, C, D = heads, classes, dim
    line = 32  # numbers that a head's parts begin at multiples of, on the CPU
    weight, bias, affine = (H * math.ceil(size / line) * line for size in (C * D, C, D))
    parameters = weight + bias + 2 * affine * batch_norm
    return 4 * (3 * parameters + (weight + bias + 2 * D) * batch_norm + H + 1)


def device_bytes(
    heads: int, classes: int, dim: int, batch_size: int, rows: int, *, batch_norm: bool = True, stored: int = 2
) -> int:
    """Bytes of tensors that a probe has on its device at once, at most.

    heads: weight decays (H). dim: of all members together (D). rows: of the training split. stored: bytes of a feature on
    disk. Each of the two fits holds W, its gradient and momentum and a product, [H, C, D] each. Beside them stand either
    a gathered group of batches and what a step makes of one, or what scoring makes of a chunk of rows: first features
    as stored, widened and normalised with logits [H, C, rows], then two of [H, C, rows]; and numbers per row.
    """
    C, D, chunk = classes, dim, evaluation_chunk(classes)
    group, batch = min(GATHERED_BATCHES * batch_size + 1, rows), min(batch_size + 1, rows)
    normalised = 4 * D if batch_norm else 0  # bytes of a row of x̂
    few = 64 * (heads + 1)  # bytes per row: losses, hits, predictions of every head
    training = group * (D * (stored + 4) + 8) + batch * (8 * heads * C + few) + (batch + 2) * normalised
    logits = 4 * heads * C  # bytes of a row
    scoring = chunk * (D * stored + 8 + few + max(4 * D + normalised + logits, 2 * logits)) + 2 * normalised
    outcomes = 2 * 24 * heads * (rows // batch_size + 1)  # what an epoch's steps return, until its end
    return 2 * stacked_bytes(heads, C, D, batch_norm) + outcomes + max(training, scoring)


def check_device(
    total: int, weight_decays: int, classes: int, dim: int, batch_size: int, rows: int, **options: Any
) -> None:
    """UserError, with the remedy, for a probe that does not fit a device of ``total`` bytes; arguments of device_bytes."""

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
