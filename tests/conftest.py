"""Set-up and fixtures that all tests share: import path, environment of sub-processes, and torch's threads."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Sub-processes find snakemake and python beside the interpreter that runs the tests, as in an activated environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# With this set, every sub-process would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def root() -> Path:
    """Root folder of the repository."""
    return ROOT


@pytest.fixture
def one_thread():
    """Limit torch to one thread, as stages do by default: the number of threads can change the last bits."""
    import torch  # not at the top: most tests do not need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
