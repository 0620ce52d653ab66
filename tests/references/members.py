"""Slow reference for the diagnostics of members: change and score one head or one set of features at a time."""

from dataclasses import replace

import numpy as np
import torch

from workflow_scripts.timecat.probing.saved_heads import SavedHead


def block_accuracy_reference(head: SavedHead, features: np.ndarray, labels, block: slice) -> float:
    """Return the top-1 accuracy (percent) on features [rows, D] with all weights outside a block of columns at zero."""
    weight = torch.zeros_like(head.weight)
    weight[:, block] = head.weight[:, block]
    return _top1(replace(head, weight=weight), features, labels)


def leave_one_out_accuracy_reference(head: SavedHead, features: np.ndarray, labels, block: slice) -> float:
    """Return the top-1 accuracy (percent) with a block of features at its running mean (zero without batch norm)."""
    features = features.astype(np.float32)
    features[:, block] = head.running_mean[block].numpy() if head.batch_norm else 0.0
    return _top1(head, features, labels)


def _top1(head: SavedHead, features: np.ndarray, labels) -> float:
    predicted = head.logits(torch.from_numpy(features)).argmax(1).numpy()
    return float(100 * np.mean(predicted == labels))
