"""Names of feature files, one file per pass over a split. This module imports neither NumPy nor torch."""

EVALUATION, HELDOUT = "evaluation.center.npy", "heldout.center.npy"


def training_file(view: str) -> str:
    """Return the name of the file that holds the training features of ``view``."""
    return f"train.{view}.npy"
