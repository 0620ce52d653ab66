"""Keep the scores of finished runs and the state of the current run while a transfer job is unfinished."""

import io
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.timecat.artifacts.files import write_bytes
from workflow_scripts.timecat.probing.scoring import Scores
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.resume import ResumeFile
from workflow_scripts.timecat.transfer.training import Run


class Kept:
    """Files of an unfinished job, in a folder (unfinished.kept_folder) that no job with other params or code uses.

    The state of the current run is saved every ``seconds`` and when a signal asks the process to end
    (resume.ResumeFile).
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.resume_file = ResumeFile(folder / "run", seconds)

    def scores(self, name: str) -> list[dict[str, Scores]] | None:
        """Return the scores of the run of that name, or None if it has not finished."""
        path = self._path(name)
        if not path.exists():
            return None
        command.log(f"{name} is already complete: an interrupted job trained it")
        return load_scores(path.read_bytes())

    def restore(self, name: str, run: Run) -> None:
        """Load the state that an interrupted job saved into a run that has just been started, if there is one."""
        saved = self.resume_file.read()
        if saved is not None and load_state(saved, name, run):
            command.log(f"continuing an interrupted job: {name} after step {run.step}")

    def offer(self, name: str, run: Run) -> None:
        """Save the run's state if it is due; end the process if a signal has asked for that."""
        self.resume_file.offer(lambda: state_bytes(name, run), run.step)

    def add(self, name: str, scores: list[dict[str, Scores]]) -> None:
        """Write the scores of a finished run and remove its saved state."""
        write_bytes(self._path(name), scores_bytes(scores))
        self.resume_file.remove()

    def stop_watching(self) -> None:
        """Restore the default effect of signals, because no run is left to save."""
        self.resume_file.stop_watching()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pt"


def state_bytes(name: str, run: Run) -> bytes:
    """Return a run's state as the bytes of a file; load_state checks ``name``."""
    buffer = io.BytesIO()
    state = {
        "name": name,
        "network": {key: value.cpu() for key, value in run.network.state_dict().items()},
        "optimizer": run.optimizer.state_dict(),
        **{key: getattr(run, key) for key in ("step", "epoch", "rows", "sums")},
        "scores": _plain(run.scores),
    }
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(data: bytes, name: str, run: Run) -> bool:
    """Load a saved state into ``run`` (fresh from start_run); return False, without a change, if its name differs."""
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if state["name"] != name:
        return False
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    for key in ("step", "epoch", "rows", "sums"):
        setattr(run, key, state[key])
    run.scores = _scores(state["scores"])
    return True


def scores_bytes(scores: list[dict[str, Scores]]) -> bytes:
    """Return a run's scores as the bytes of a file."""
    buffer = io.BytesIO()
    torch.save(_plain(scores), buffer)
    return buffer.getvalue()


def load_scores(data: bytes) -> list[dict[str, Scores]]:
    """Return the scores that scores_bytes wrote."""
    return _scores(torch.load(io.BytesIO(data), weights_only=True))


def _plain(scores: list[dict[str, Scores]]) -> list[dict[str, dict[str, torch.Tensor | None]]]:
    return [
        {
            split: {name: None if value is None else torch.from_numpy(value) for name, value in vars(score).items()}
            for split, score in epoch.items()
        }
        for epoch in scores
    ]


def _scores(plain: list[dict[str, dict[str, torch.Tensor | None]]]) -> list[dict[str, Scores]]:
    return [{split: Scores(**_arrays(score)) for split, score in epoch.items()} for epoch in plain]


def _arrays(score: dict[str, torch.Tensor | None]) -> dict[str, Any]:
    return {name: None if value is None else value.numpy() for name, value in score.items()}
