"""Bring published weights into the place of a pretrained checkpoint: what the stage `import_checkpoint` runs."""

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
    """The options of the stage's command line, by name."""

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
    """Import as the only writer of these weights."""
    with sole_writer(options.weights.parent, f"{options.weights.stem}."):
        import_checkpoint(options)


def import_checkpoint(options: Options) -> None:
    """Write the weights and their sidecar."""
    import torch

    from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
    from workflow_scripts.timecat.backbones.build import build_backbone
    from workflow_scripts.timecat.checkpoints.formats import read_published
    from workflow_scripts.timecat.checkpoints.mapping import counts_of, place

    torch.set_num_threads(1)  # tensors are looked at one by one: more threads would mostly wait for one another
    publication, seed, step = options.publication, options.seed, options.step
    with checkpoint_file(options) as (file, sha256, shown):
        command.log_start_up()
        published = read_published(file, shown)
        check_stated(published.stated, seed, step, options.step_tolerance, shown)
        backbone = build_backbone(options.backbone, options.image_size)
        # Where a library's classifier was, the backbone has an identity; `head` is what timm's transformers call it.
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
        f"{shown}: {published.container}, in {published.wrapper or 'nothing'}, prefix {placed.prefix!r}: {convolutions} "
        f"convolutions, {batch_norms} batch norms, "
        + (f"classifier of {facts['classes']} classes" if placed.classifier else "no classifier")
        + f"; left out: {', '.join(placed.left_out) or 'nothing'}"
    )


@contextlib.contextmanager
def checkpoint_file(options: Options) -> Iterator[tuple[Path, str, str]]:
    """(path of the checkpoint's own file, its SHA-256, its name for messages), out of the archive if it is in one."""
    from workflow_scripts.timecat.checkpoints.archives import extract_member

    path, publication = options.published, options.publication
    sha256 = publication.local_sha256 or read_sidecar(path)["content"]
    check_sha256(str(path), sha256, options.sha256)
    if not options.sha256:
        command.log(f"{path}: no SHA-256 was given, so damage may go unseen; it is {sha256}")
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
    if expected and found != expected:
        raise UserError(
            f"{shown} has the SHA-256 {found} and `checkpoints.sha256` says {expected}; correct the config, or remove the file"
            " and fetch it again"
        )


def check_stated(stated: dict[str, int], seed: int, step: int, tolerance: int, shown: str) -> None:
    """UserError if a file says of itself that it is another checkpoint: tables would lie."""
    for key in ("global_step", "step"):
        if key in stated and abs(stated[key] - step) > tolerance:
            raise UserError(
                f"{shown} states {key} {stated[key]}, and the config wants step {step} there; write the arm's `steps` as they"
                " are and the file's name in `checkpoints.step_names`, or allow the difference in `checkpoints.step_tolerance`"
            )
    if stated.get("seed", seed) != seed:
        raise UserError(
            f"{shown} states seed {stated['seed']}, and the config wants seed {seed} there; correct `checkpoints.path` or the "
            "order of `pretrain.seeds`"
        )
