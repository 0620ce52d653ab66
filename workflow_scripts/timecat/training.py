"""Training as a chain: from one training state to the next, with the same bits as one uninterrupted run.

Schedule-free AdamW (Defazio et al. 2024, "The Road Less Scheduled") needs no end point. Its gradients are taken at y, its
result is the average x. ``optimizer.eval()`` and ``train()`` swap the parameters between the two by interpolations that
do not round-trip, so the training model is never swapped: it stays at y, and x is computed into a copy.
"""

import copy
import io
import math
from dataclasses import dataclass

import torch
from schedulefree import AdamWScheduleFree
from torch import nn
from torch.nn import functional

from workflow_scripts.timecat.artifacts import UserError
from workflow_scripts.timecat.backbones import Classifier, initial_classifier
from workflow_scripts.timecat.recipe import Recipe
from workflow_scripts.timecat.views import Transform, normalise

LOSS_AVERAGE_DECAY = 0.98  # of the running mean that the log and the weights' metadata report: about 50 steps


@dataclass
class Run:
    """A pretraining run in progress. The model's parameters are y; ``loss_average`` is an average of recent losses."""

    model: Classifier
    optimizer: AdamWScheduleFree
    step: int
    loss_average: float


def start_run(backbone: dict, classes: int, recipe: Recipe, seed: int, device: str) -> Run:
    """A run at step 0; the seed fixes the initial parameters."""
    model = initial_classifier(backbone, classes, seed).to(device)
    return Run(model.train(), _optimizer(model, recipe), 0, math.nan)


def _optimizer(model: nn.Module, recipe: Recipe) -> AdamWScheduleFree:
    optimizer = AdamWScheduleFree(
        model.parameters(),
        lr=recipe.lr,
        betas=tuple(recipe.betas),
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        foreach=True,
    )
    optimizer.train()
    return optimizer


def train_step(run: Run, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe, transform: Transform) -> float:
    """One step on a batch (images uint8 [b, s, s, 3], labels [b]); returns its loss. UserError if it is not finite."""
    device = run.model.fc.weight.device
    inputs = normalise(images.to(device), transform)
    loss = functional.cross_entropy(run.model(inputs), labels.to(device), label_smoothing=recipe.label_smoothing)
    value = loss.item()
    if not math.isfinite(value):
        raise UserError(
            f"the training loss is {value} at step {run.step + 1}: training diverged; lower pretrain.lr (now {recipe.lr}) "
            "or raise pretrain.warmup_steps in the config"
        )
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    run.step += 1
    decay = LOSS_AVERAGE_DECAY if run.step > 1 else 0.0
    run.loss_average = value if decay == 0 else decay * run.loss_average + (1 - decay) * value
    return value


def averaged_model(run: Run, batches, transform: Transform) -> Classifier:
    """A copy of the model for inference: parameters at the average x, batch-norm statistics recomputed there.

    batches: augmented training images (uint8 [b, s, s, 3] each). The run itself is not touched.
    """
    model, optimizer = copy.deepcopy((run.model, run.optimizer))
    optimizer.eval()
    recompute_batch_norm(model, batches, transform)
    return model.eval()


def recompute_batch_norm(model: Classifier, batches, transform: Transform) -> None:
    """Replace running statistics by the plain mean over ``batches``; those of training belong to y, not to x."""
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's cumulative mean
    model.train()
    with torch.no_grad():
        for images in batches:
            model(normalise(images.to(model.fc.weight.device), transform))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def accuracy(model: Classifier, batches, transform: Transform) -> float:
    """Top-1 in percent of an evaluation-mode model over batches of (rows, images, labels)."""
    right = total = 0
    with torch.inference_mode():
        for _, images, labels in batches:
            device = model.fc.weight.device
            predicted = model(normalise(images.to(device), transform)).argmax(dim=1).cpu()
            right += int((predicted == labels).sum())
            total += len(labels)
    return 100 * right / total


def state_bytes(run: Run, identity: str, extra: dict | None = None) -> bytes:
    """The run as the bytes of a file; ``identity`` is checked when it is read back."""
    buffer = io.BytesIO()
    torch.save(
        {
            "identity": identity,
            "model": {name: value.cpu() for name, value in run.model.state_dict().items()},
            "optimizer": run.optimizer.state_dict(),
            "step": run.step,
            "loss_average": run.loss_average,
            **(extra or {}),
        },
        buffer,
    )
    return buffer.getvalue()


def load_state(data: bytes, run: Run, identity: str, accept=lambda saved: True) -> bool:
    """Bring ``run`` (fresh from start_run) to a saved state. False, and the run untouched, if it is of another identity
    or ``accept(saved)`` says no."""
    saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if saved["identity"] != identity or not accept(saved):
        return False
    run.model.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.step, run.loss_average = saved["step"], saved["loss_average"]
    return True
