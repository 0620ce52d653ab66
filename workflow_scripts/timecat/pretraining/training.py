"""Train a network from one training state to the next, with the same bits as in one uninterrupted run.

Schedule-free AdamW (Defazio et al. 2024, "The Road Less Scheduled") does not need to know the last step. Its gradients
are computed at the weights y, and its result is their average x. ``optimizer.eval()`` and ``train()`` convert the
parameters between y and x by interpolations, which do not restore the same bits. So the model in training always stays
at y, and x is computed into a copy.

Precision and compilation affect only training's forward and backward passes. Parameters and the optimizer's state are
float32, and the eager model is averaged, evaluated and written.
"""

import contextlib
import copy
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from schedulefree import AdamWScheduleFree
from torch import nn
from torch.nn import functional

from workflow_scripts.timecat.backbones.build import Classifier
from workflow_scripts.timecat.backbones.initialisation import initial_classifier
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.ffcv.reader import Batch
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import normalise
from workflow_scripts.timecat.pretraining.batch_norm_statistics import recompute_batch_norm
from workflow_scripts.timecat.pretraining.batch_shares import Share, needed_share, next_accumulation, usable_processes
from workflow_scripts.timecat.pretraining.compiling import compiled
from workflow_scripts.timecat.pretraining.ghost_batch_norm import set_ghost_batch
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.pretraining.shared_batch_norm import keep_batch_norm, share_batch_norm
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.runtime.world import ALONE, World

LOSS_AVERAGE_DECAY = 0.98  # decay of the running mean of the loss in the log and in weights files: about 50 steps


@dataclass
class Run:
    """Pretraining run in progress.

    model: model whose parameters are y. loss_average: running mean of recent losses. network: function that training
    calls, which is the model or a wrapper that shares its parameters (compiled, or for several processes). apart:
    function that returns a context in which the processes do not sum their gradients. share: this process's share of
    each batch.
    """

    model: Classifier
    optimizer: AdamWScheduleFree
    step: int
    loss_average: float
    seed: int
    network: Callable[[torch.Tensor], torch.Tensor]
    share: Share
    world: World
    apart: Callable[[], contextlib.AbstractContextManager[None]]


def start_run(
    backbone: BackboneSettings,
    classes: int,
    recipe: Recipe,
    seed: int,
    device: str,
    image_size: int | None = None,
    world: World = ALONE,
) -> Run:
    """Return a run at step 0, whose initial parameters depend on the seed.

    image_size: argument of build_backbone. world: processes among which each batch is divided (batch_shares). They must
    be connected, and the recipe must allow their number.
    """
    model = initial_classifier(backbone, classes, seed, image_size, recipe.initialisation, recipe.zero_gamma)
    share = needed_share(recipe, world)
    if share.processes > 1:
        share_batch_norm(model, share.processes, world.rank, world.size)
    elif recipe.ghost_batch:
        set_ghost_batch(model, recipe.ghost_batch)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # convolutions take the format from their weights and pass it on
    model.to(device).train()
    trained: nn.Module = model
    apart: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    if world.size > 1:
        parallel = nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)
        trained, apart = parallel, parallel.no_sync
    network = compiled(trained) if recipe.compile else trained
    return Run(model, _optimizer(model, recipe), 0, math.nan, seed, network, share, world, apart)


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
    """Train one step on this process's share of a batch, and return the mean loss of the batch.

    images: uint8 [b, s, s, 3]. labels: [b]. Raise UserError if the loss is not finite, or if the GPU's memory is too
    small.
    """
    try:
        loss = compute_gradients(run, images, labels, recipe, transform)
        run.optimizer.step()
        run.step += 1
        value = run.world.mean(loss.item())  # after all of the step's work is queued, because item() waits for the GPU
    except torch.OutOfMemoryError as error:
        raise UserError(_advice_on_memory(recipe, run.share, run.world)) from error
    if not math.isfinite(value):  # the updated run is useless, but after this error it is not saved
        raise UserError(
            f"the training loss is {value} at step {run.step}: training diverged; lower pretrain.lr (now {recipe.lr}) "
            "or raise pretrain.warmup_steps in the config"
        )
    decay = LOSS_AVERAGE_DECAY if run.step > 1 else 0.0
    run.loss_average = value if decay == 0 else decay * run.loss_average + (1 - decay) * value
    return value


def _advice_on_memory(recipe: Recipe, share: Share, world: World) -> str:
    remedies = []
    if accumulation := next_accumulation(recipe, world.size):
        kept = (
            "the batch and its statistics do not change"
            if recipe.ghost_batch
            else "batch norm's statistics are then over fewer images"
        )
        remedies.append(f"set pretrain.accumulation to {accumulation} or more (now {recipe.accumulation}; {kept})")
    more = usable_processes(recipe, 2 * world.size)
    if more > world.size and needed_share(recipe, World(size=more)).part < share.part:
        remedies.append(f"divide the batch among {more} GPUs with limits.pretrain_gpus")
    if not remedies:
        remedies.append(f"lower pretrain.batch_size (now {recipe.batch_size})")
    return (
        f"the GPU's memory is too small for training on {share.part} images per pass: {', or '.join(remedies)}, in the "
        "config"
    )


def compute_gradients(
    run: Run, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe, transform: Transform
) -> torch.Tensor:
    """Compute the gradients of a batch's mean loss, and return the loss (float64, on the device).

    The batch passes through the network in parts whose gradients are summed, so the step does not depend on how the
    batch is divided. If several processes share the batch, each process passes its share: the returned loss is the loss
    of this share, and the gradients are the mean over all processes.
    """
    device = run.model.fc.weight.device
    images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    run.optimizer.zero_grad()
    value, size = torch.zeros((), dtype=torch.float64, device=device), run.share.part
    for part, (some, their_labels) in enumerate(zip(images.split(size), labels.split(size))):
        # Random numbers of the network (dropout, stochastic depth) depend on seed, step and part alone.
        torch.manual_seed(key("pretrain", "noise", run.seed, run.step, run.share.first_part + part) % 2**63)
        last = (part + 1) * size >= len(images)
        with contextlib.nullcontext() if last else run.apart():
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                logits = run.network(normalise(some, transform))
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # autocast's logits are bf16
            loss = functional.cross_entropy(logits, their_labels, label_smoothing=recipe.label_smoothing)
            if size < len(images):
                loss = loss * (len(some) / len(images))
            loss.backward()
        value += loss.detach()
    return value


def averaged_model(run: Run, batches: Iterable[torch.Tensor], transform: Transform) -> Classifier:
    """Return a copy of the model for inference: parameters at the average x, with recomputed batch-norm statistics.

    batches: augmented training images (uint8 [b, s, s, 3] each). The run itself is not changed. The copy is eager,
    because a compiled network in evaluation mode may contain outdated weights as constants (pytorch issue 108863).
    """
    model, optimizer = copy.deepcopy((run.model, run.optimizer))
    optimizer.eval()
    if run.share.processes > 1:  # this process alone reads all images of the statistics
        keep_batch_norm(model, run.share.part * run.share.processes)
    recompute_batch_norm(model, batches, transform)
    return model.eval()


def accuracy(model: Classifier, batches: Iterable[Batch], transform: Transform) -> float:
    """Return the top-1 accuracy, in percent, of a model in evaluation mode over batches of (rows, images, labels)."""
    right = total = 0
    with torch.inference_mode():
        for _, images, labels in batches:
            device = model.fc.weight.device
            predicted = model(normalise(images.to(device), transform)).argmax(dim=1).cpu()
            right += int((predicted == labels).sum())
            total += len(labels)
    return 100 * right / total


def state_bytes(run: Run, identity: str, extra: dict[str, Any] | None = None) -> bytes:
    """Return the run's state as the bytes of a file.

    identity: digest that load_state compares with the digest of the loading run.
    """
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


def load_state(
    data: bytes, run: Run, identity: str, accept: Callable[[dict[str, Any]], object] = lambda saved: True
) -> bool:
    """Load a saved state into ``run`` (fresh from start_run) and return True.

    Return False and leave the run unchanged if the identities differ or if ``accept(saved)`` is false.
    """
    saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if saved["identity"] != identity or not accept(saved):
        return False
    run.model.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.step, run.loss_average = saved["step"], saved["loss_average"]
    return True
