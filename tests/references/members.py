"""The plain twin of `diagnostics`: one changed head or one changed set of features at a time, read as any head is."""

from dataclasses import replace

import numpy as np
import torch

from workflow_scripts.timecat.probing.saved_heads import SavedHead


def block_accuracy_reference(head: SavedHead, features: np.ndarray, labels, block: slice) -> float:
    """Top-1 (percent) of features [rows, D] where every weight outside a block of the columns is zero."""
    weight = torch.zeros_like(head.weight)
    weight[:, block] = head.weight[:, block]
    return _top1(replace(head, weight=weight), features, labels)


def leave_one_out_accuracy_reference(head: SavedHead, features: np.ndarray, labels, block: slice) -> float:
    """Top-1 (percent) where a block of the features is its running mean (zero without batch norm) in every row."""
    features = features.astype(np.float32)
    features[:, block] = head.running_mean[block].numpy() if head.batch_norm else 0.0
    return _top1(head, features, labels)


def _top1(head: SavedHead, features: np.ndarray, labels) -> float:
    predicted = head.logits(torch.from_numpy(features)).argmax(1).numpy()
    return float(100 * np.mean(predicted == labels))
