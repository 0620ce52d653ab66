"""Names of feature files, one of each pass over a split. Without NumPy and torch, for whoever only names them."""

EVALUATION, HELDOUT = "evaluation.center.npy", "heldout.center.npy"


def training_file(view: str) -> str:
    """Name of the file of a view's training features."""
    return f"train.{view}.npy"
