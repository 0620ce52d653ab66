"""Bring published weights into the place of a pretrained checkpoint: read safely, every key accounted for."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import file_sha256
from workflow_scripts.timecat.artifacts.sidecars import config_digest, read_sidecar, write_sidecar
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.runtime.sole_writer import sole_writer


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int)
    parser.add_argument("--backbone", required=True, type=command.json_value, help="the backbone's block of the config")
    parser.add_argument("--image-size", required=True, type=int, help="side of the source's images, pixels")
    parser.add_argument("--publication", required=True, type=json_of(Publication), help="which file it is")
    parser.add_argument("--sha256", nargs="?", default="", const="", help="what the file must be, or nothing")
    parser.add_argument("--member-sha256", nargs="?", default="", const="", help="the same of the archive's member")
    parser.add_argument("--step-tolerance", type=int, default=0, help="by how much the file's own step may differ")
    parser.add_argument("--published", required=True, type=Path, help="the checkpoint, or the archive that holds it")
    parser.add_argument("--weights", required=True, type=Path)
    arguments = parser.parse_args()
    with sole_writer(arguments.weights.parent, f"{arguments.weights.stem}."):
        import_checkpoint(arguments)


def import_checkpoint(arguments: argparse.Namespace) -> None:
    """Write the weights and their sidecar."""
    import torch

    from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
    from workflow_scripts.timecat.backbones.build import build_backbone
    from workflow_scripts.timecat.checkpoints.formats import read_published
    from workflow_scripts.timecat.checkpoints.mapping import counts_of, place

    torch.set_num_threads(1)  # tensors are looked at one by one: more threads would mostly wait for one another
    publication, seed, step = arguments.publication, arguments.seed, arguments.step
    with checkpoint_file(arguments) as (file, sha256, shown):
        command.log_start_up()
        published = read_published(file, shown)
        check_stated(published.stated, seed, step, arguments.step_tolerance, shown)
        backbone = build_backbone(arguments.backbone, arguments.image_size)
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
            "source": arguments.source,
            "seed": seed,
            "step": step,
            "image_size": arguments.image_size,
            **({"classes": len(placed.classifier["fc.bias"])} if placed.classifier else {}),
            "imported_from": {
                "file": Path(publication.member or arguments.published).name,
                "sha256": sha256,
                "container": published.container,
                "wrapper": published.wrapper,
                "prefix": placed.prefix,
                **({"stated": published.stated} if published.stated else {}),
            },
        }
        told = {name: getattr(arguments, name) for name in ("backbone", "image_size", "seed", "step")}
        params = told | {"ignored": publication.ignored}
        inputs = {"published": sha256}
        tensors = {f"backbone.{name}": value for name, value in placed.backbone.items()} | placed.classifier
        description = {"backbone": arguments.backbone, "config": config_digest(params, inputs), **facts}
        content = write_tensors(arguments.weights, tensors, description)
        write_sidecar(arguments.weights, content, params, inputs, {"facts": facts})
    convolutions, batch_norms = counts_of(placed.backbone)
    command.log(
        f"{shown}: {published.container}, in {published.wrapper or 'nothing'}, prefix {placed.prefix!r}: {convolutions} "
        f"convolutions, {batch_norms} batch norms, "
        + (f"classifier of {facts['classes']} classes" if placed.classifier else "no classifier")
        + f"; left out: {', '.join(placed.left_out) or 'nothing'}"
    )


@contextlib.contextmanager
def checkpoint_file(arguments: argparse.Namespace) -> Iterator[tuple[Path, str, str]]:
    """(path of the checkpoint's own file, its SHA-256, its name for messages), out of the archive if it is in one."""
    from workflow_scripts.timecat.checkpoints.archives import extract_member

    path, publication = arguments.published, arguments.publication
    sha256 = publication.local_sha256 or read_sidecar(path)["content"]
    check_sha256(str(path), sha256, arguments.sha256)
    if not arguments.sha256:
        command.log(f"{path}: no SHA-256 was given, so damage may go unseen; it is {sha256}")
    if publication.member is None:
        yield path, sha256, str(path)
        return
    temporary = arguments.weights.with_name(f".{arguments.weights.stem}.published.{os.getpid()}.tmp")
    try:
        shown = f"{path}, member {extract_member(path, publication.member, temporary)}"
        sha256 = file_sha256(temporary)
        check_sha256(shown, sha256, arguments.member_sha256)
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


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
