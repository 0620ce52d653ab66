"""Save the scores of finished runs and the state of the current run, so that an interrupted transfer job resumes."""

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
    """Files of an unfinished job, in a folder (unfinished.kept_folder) for jobs with the same params and code.

    The state of the current run is saved every ``seconds`` and when a signal asks the process to end
    (resume.ResumeFile).
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.resume_file = ResumeFile(folder / "run", seconds)

    def scores(self, name: str) -> list[dict[str, Scores]] | None:
        """Return the scores of the run ``name``, or None if the run has not finished."""
        path = self._path(name)
        if not path.exists():
            return None
        command.log(f"{name} is complete already, from an interrupted job")
        return load_scores(path.read_bytes())

    def restore(self, name: str, run: Run) -> None:
        """Load the state that an interrupted job saved for the run ``name``, if there is one, into a run at step 0."""
        saved = self.resume_file.read()
        if saved is not None and load_state(saved, name, run):
            command.log(f"continuing an interrupted job: {name} after step {run.step}")

    def offer(self, name: str, run: Run) -> None:
        """Save the run's state if ``seconds`` have passed. After a signal, save it and end the process."""
        self.resume_file.offer(lambda: state_bytes(name, run), run.step)

    def add(self, name: str, scores: list[dict[str, Scores]]) -> None:
        """Write the scores of a finished run and remove its saved state."""
        write_bytes(self._path(name), scores_bytes(scores))
        self.resume_file.remove()

    def stop_watching(self) -> None:
        """Restore the previous signal handlers. Call this after the last run, when no state is left to save."""
        self.resume_file.stop_watching()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pt"


def state_bytes(name: str, run: Run) -> bytes:
    """Return the state of the run ``name`` as the bytes of a file."""
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
    """Load a saved state into ``run`` (fresh from start_run). Return False, without a change, if its name differs."""
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
    """Return the scores in the bytes that scores_bytes returned."""
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
