"""Import published weights as a pretrained checkpoint (code of the stage `import_checkpoint`)."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import file_sha256
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer


@dataclass(frozen=True)
class Options:
    """Command-line options of the stage `import_checkpoint`."""

    source: str
    seed: int
    step: int
    backbone: BackboneSettings
    image_size: int
    publication: Publication
    sha256: str
    member_sha256: str
    step_tolerance: int
    published: Path
    weights: Path


def run(options: Options) -> None:
    """Import a checkpoint while holding the lock of its weights file, so that no other process writes it."""
    with sole_writer(options.weights.parent, f"{options.weights.stem}."):
        import_checkpoint(options)


def import_checkpoint(options: Options) -> None:
    """Read a published file, write its weights under the backbone's names, with a sidecar, and log a summary."""
    import torch

    from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
    from workflow_scripts.timecat.backbones.build import build_backbone
    from workflow_scripts.timecat.checkpoints.formats import read_published
    from workflow_scripts.timecat.checkpoints.mapping import counts_of, place

    torch.set_num_threads(1)  # tensors are checked one after another, so more threads would mostly wait
    publication, seed, step = options.publication, options.seed, options.step
    with checkpoint_file(options) as (file, sha256, shown):
        command.log_start_up()
        published = read_published(file, shown)
        check_stated(published.stated, seed, step, options.step_tolerance, shown)
        backbone = build_backbone(options.backbone, options.image_size)
        # An identity in the backbone replaces a library's classifier; `head` is its name in timm's transformers.
        removed = [name for name, layer in backbone.named_modules() if isinstance(layer, torch.nn.Identity)]
        placed = place(
            published.tensors,
            published.others,
            backbone.state_dict(),
            backbone.dimension,
            publication.ignored,
            shown,
            ("fc", "head", *removed),
        )
        backbone.load_state_dict(placed.backbone)
        facts = {
            "source": options.source,
            "seed": seed,
            "step": step,
            "image_size": options.image_size,
            **({"classes": len(placed.classifier["fc.bias"])} if placed.classifier else {}),
            "imported_from": {
                "file": Path(publication.member or options.published).name,
                "sha256": sha256,
                "container": published.container,
                "wrapper": published.wrapper,
                "prefix": placed.prefix,
                **({"stated": published.stated} if published.stated else {}),
            },
        }
        told = {name: getattr(options, name) for name in ("backbone", "image_size", "seed", "step")}
        params = told | {"ignored": publication.ignored}
        inputs = {"published": sha256}
        tensors = {f"backbone.{name}": value for name, value in placed.backbone.items()} | placed.classifier
        description = {"backbone": options.backbone, "config": config_digest(params, inputs), **facts}
        content = write_tensors(options.weights, tensors, description)
        write_sidecar(options.weights, content, params, inputs, {"facts": facts})
    convolutions, batch_norms = counts_of(placed.backbone)
    command.log(
        f"{shown}: format {published.container}, wrapped in {published.wrapper or 'nothing'}, "
        f"prefix {placed.prefix!r}: {convolutions} convolutions, {batch_norms} batch norms, "
        + (f"classifier of {facts['classes']} classes" if placed.classifier else "no classifier")
        + f"; keys left out: {', '.join(placed.left_out) or 'nothing'}"
    )


@contextlib.contextmanager
def checkpoint_file(options: Options) -> Iterator[tuple[Path, str, str]]:
    """Yield (path of the checkpoint, its SHA-256, its name in messages). If it is in an archive, extract it first."""
    from workflow_scripts.timecat.checkpoints.archives import extract_member

    path, publication = options.published, options.publication
    sha256 = publication.local_sha256 or read_sidecar(path)["content"]
    check_sha256(str(path), sha256, options.sha256)
    if not options.sha256:
        command.log(f"{path}: the config sets no SHA-256, so damage may go unnoticed; the file's SHA-256 is {sha256}")
    if publication.member is None:
        yield path, sha256, str(path)
        return
    temporary = options.weights.with_name(f".{options.weights.stem}.published.{os.getpid()}.tmp")
    try:
        shown = f"{path}, member {extract_member(path, publication.member, temporary)}"
        sha256 = file_sha256(temporary)
        check_sha256(shown, sha256, options.member_sha256)
        yield temporary, sha256, shown
    finally:
        temporary.unlink(missing_ok=True)


def check_sha256(shown: str, found: str, expected: str) -> None:
    """Raise UserError if the SHA-256 ``found`` differs from ``expected``, unless ``expected`` is empty."""
    if expected and found != expected:
        raise UserError(
            f"{shown} has the SHA-256 {found}, but `checkpoints.sha256` sets {expected}; correct the config, or remove "
            "the file and fetch it again"
        )


def check_stated(stated: dict[str, int], seed: int, step: int, tolerance: int, shown: str) -> None:
    """Raise UserError if a file states a step or seed that differs from the config's: the tables would be wrong."""
    for key in ("global_step", "step"):
        if key in stated and abs(stated[key] - step) > tolerance:
            raise UserError(
                f"{shown} states {key} {stated[key]}, but the config takes it for step {step}; set the arm's `steps` "
                "to the stated step and name the file in `checkpoints.step_names`, or allow the difference with "
                "`checkpoints.step_tolerance`"
            )
    if stated.get("seed", seed) != seed:
        raise UserError(
            f"{shown} states seed {stated['seed']}, but the config takes it for seed {seed}; correct "
            "`checkpoints.path` or the order of `pretrain.seeds`"
        )
