"""`scratch_dir`: the .beton files in a folder of their own, to which results/data_sets is a link."""

from pathlib import Path

from workflow_scripts.timecat.errors import UserError

DATA_SETS = Path("results/data_sets")


def check(scratch_dir: str | None) -> None:
    """UserError where the link cannot be made, because something else has its name."""
    if scratch_dir is None or not (DATA_SETS.exists() or DATA_SETS.is_symlink()):
        return
    if not DATA_SETS.is_symlink():
        raise UserError(
            f"scratch_dir: {DATA_SETS} is a folder, so it cannot be a link to {scratch_dir}: move what is in it there and "
            "remove it, or remove scratch_dir from the config"
        )
    if DATA_SETS.resolve() != Path(scratch_dir).resolve():
        raise UserError(
            f"scratch_dir: {DATA_SETS} is a link to {DATA_SETS.resolve()}, and not to {scratch_dir}: remove the link, or "
            "correct scratch_dir in the config"
        )


def link(scratch_dir: str | None) -> None:
    """Make the folder and the link, where they are wanted and not there yet."""
    if scratch_dir is None:
        return
    Path(scratch_dir).mkdir(parents=True, exist_ok=True)
    DATA_SETS.parent.mkdir(exist_ok=True)
    if not DATA_SETS.is_symlink():
        DATA_SETS.symlink_to(Path(scratch_dir).resolve())
