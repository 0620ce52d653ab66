"""Store the .beton files in `scratch_dir`: the study's folder data_sets becomes a link to that folder."""

from pathlib import Path

from workflow_scripts.timecat.errors import UserError


def check(scratch_dir: str | None, data_sets: str) -> None:
    """Raise UserError if the link ``data_sets`` cannot be made because a folder or a different link has its name."""
    place = Path(data_sets)
    if scratch_dir is None or not (place.exists() or place.is_symlink()):
        return
    if not place.is_symlink():
        raise UserError(
            f"scratch_dir: {place} is a folder, so it cannot be a link to {scratch_dir}: move its contents there and "
            "remove the folder, or remove scratch_dir from the config"
        )
    if place.resolve() != Path(scratch_dir).resolve():
        raise UserError(
            f"scratch_dir: {place} is a link to {place.resolve()}, not to {scratch_dir}: remove the link, or "
            "correct scratch_dir in the config"
        )


def link(scratch_dir: str | None, data_sets: str) -> None:
    """Create the folder ``scratch_dir`` and the link to it where missing, if the config sets `scratch_dir`."""
    if scratch_dir is None:
        return
    place = Path(data_sets)
    Path(scratch_dir).mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(Path(scratch_dir).resolve())
