"""`scratch_dir`: the .beton files in a folder of their own, to which the study's folder data_sets is a link."""

from pathlib import Path

from workflow_scripts.timecat.errors import UserError


def check(scratch_dir: str | None, data_sets: str) -> None:
    """UserError where the link ``data_sets`` cannot be made, because something else has its name."""
    place = Path(data_sets)
    if scratch_dir is None or not (place.exists() or place.is_symlink()):
        return
    if not place.is_symlink():
        raise UserError(
            f"scratch_dir: {place} is a folder, so it cannot be a link to {scratch_dir}: move what is in it there and "
            "remove it, or remove scratch_dir from the config"
        )
    if place.resolve() != Path(scratch_dir).resolve():
        raise UserError(
            f"scratch_dir: {place} is a link to {place.resolve()}, and not to {scratch_dir}: remove the link, or "
            "correct scratch_dir in the config"
        )


def link(scratch_dir: str | None, data_sets: str) -> None:
    """Make the folder and the link, where they are wanted and not there yet."""
    if scratch_dir is None:
        return
    place = Path(data_sets)
    Path(scratch_dir).mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(Path(scratch_dir).resolve())
