"""Encode sequences of bases as images, one pixel per base in row order, so that all samples are images.

The image is the smallest square that holds the longest sequence. A, C, G and T are red, green, blue and white; unknown
bases (N) and the unused rest of the square are black. sequence_residual.one_hot decodes the pixels.
"""

import numpy as np

from workflow_scripts.timecat.images.sequence_square import side_of

BASES = "ACGT"
UNKNOWN = "N"
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]], np.uint8)  # of BASES, then N
NO_BASE = 255  # code of any letter that is neither in BASES nor UNKNOWN

_CODES = np.full(256, NO_BASE, np.uint8)
for _code, _base in enumerate(BASES + UNKNOWN):
    _CODES[[ord(_base), ord(_base.lower())]] = _code


def codes_of(sequence: str) -> np.ndarray:
    """Return the index in COLOURS of each base, uint8 [bases]; case is ignored, and invalid letters give NO_BASE."""
    return _CODES[np.frombuffer(sequence.encode("latin-1", errors="replace"), np.uint8)]


class SequenceImages:
    """Sequences of bases as images uint8 [side, side, 3], each made when it is indexed.

    sequences: strings of A, C, G, T and N, each of at most ``length`` bases.
    """

    def __init__(self, sequences: list[str], length: int):
        self.sequences, self.side = sequences, side_of(length)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, row: int) -> np.ndarray:
        codes = codes_of(self.sequences[row])
        pixels = np.zeros((self.side**2, 3), np.uint8)
        pixels[: len(codes)] = COLOURS[codes]
        return pixels.reshape(self.side, self.side, 3)
