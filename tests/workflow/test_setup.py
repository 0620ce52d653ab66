"""Check envs/setup, the Makefile and the requirements within seconds: scripts replace uv and apt-get."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (ROOT / "envs/requirements.txt").read_text()
# Tools that the script calls and that every POSIX system has.
POSIX = ("bash", "cat", "cut", "dirname", "flock", "ln", "mkdir", "mv", "rm", "sed")
FAKE_UV = """#!/bin/sh
echo "$@" >> "$CALLS"
echo "index ${UV_DEFAULT_INDEX:-} cache $UV_CACHE_DIR bytecode ${PYTHONDONTWRITEBYTECODE:-yes}" >> "$CALLS.environment"
case "$1" in
    --version) echo "uv 0.0.0" ;;
    venv) for place; do :; done; mkdir -p "$place/bin"; ln -s "$REAL_PYTHON" "$place/bin/python" ;;
    pip) exit "${UV_STATUS:-0}" ;;
esac
"""


class Clone:
    """Clone with only the files of the set-up, a PATH with replaced tools, and an empty home folder."""

    def __init__(self, folder: Path):
        self.root = folder / "clone"
        self.bin = folder / "bin"
        self.home = folder / "home"
        for place in (self.root / "envs", self.root / "workflow_scripts", self.bin, self.home):
            place.mkdir(parents=True)
        for name in ("setup", "requirements.txt"):
            shutil.copy(ROOT / "envs" / name, self.root / "envs" / name)
        for tool in POSIX:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.python = os.path.realpath(sys.executable)
        self.calls_file = folder / "calls"
        self.tool("id", "echo 1000")
        self.tool("python3", f'exec "{self.python}" "$@"')

    def tool(self, name: str, script: str) -> None:
        """Write an executable to this clone's PATH."""
        path = self.bin / name
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def with_everything(self) -> "Clone":
        """Add all prerequisites and a script that replaces uv, and return this clone."""
        for name in ("g++", "pkg-config", "dot"):
            self.tool(name, "exit 0")
        self.tool("uv", FAKE_UV)
        return self

    def setup(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run envs/setup with the given environment variables only, without the variables of this process."""
        fixed = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "CALLS": str(self.calls_file),
            "REAL_PYTHON": self.python,
            # If both are set, the script does not query pip, which would take most of the time.
            "UV_DEFAULT_INDEX": "told",
            "SSL_CERT_FILE": "told",
        }
        return subprocess.run(
            [self.root / "envs/setup", *arguments],
            env=fixed | environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """Return the command lines of uv since the last call of this method, except queries of its version."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return [line for line in lines if line != "--version"]


@pytest.fixture
def clone(tmp_path):
    """Clone without any prerequisite."""
    return Clone(tmp_path)


def test_a_second_setup_does_nothing(clone):
    """Both runs leave the home folder empty."""
    clone.with_everything()
    first = clone.setup()
    assert first.returncode == 0, first.stderr
    venv, install = clone.calls()
    assert venv.startswith("venv ") and install.startswith("pip sync ")
    assert "--require-hashes" in install and "--compile-bytecode" in install
    second = clone.setup()
    assert second.returncode == 0 and second.stderr == "setup: nothing to do\n" and clone.calls() == []
    assert list(clone.home.iterdir()) == []
    assert sorted(path.name for path in clone.root.iterdir()) == [".cache", ".venv", "envs", "workflow_scripts"]


def test_changed_requirements_update_the_environment_in_place(clone):
    clone.with_everything().setup()
    clone.calls()
    with (clone.root / "envs/requirements.txt").open("a") as file:
        file.write("# newer\n")
    assert clone.setup().returncode == 0
    assert [call.split()[:2] for call in clone.calls()] == [["pip", "sync"]]


def test_an_incomplete_environment_is_made_again(clone):
    clone.with_everything()
    failed = clone.setup(UV_STATUS="1")
    assert failed.returncode == 1 and "installation failed" in failed.stderr
    left_over = clone.root / ".venv/half-written"
    left_over.touch()
    assert clone.setup().returncode == 0
    assert not left_over.exists() and clone.setup().stderr == "setup: nothing to do\n"


def test_the_environment_of_a_moved_clone_is_made_again(clone):
    clone.with_everything().setup()
    clone.calls()
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    assert clone.setup().returncode == 0
    assert [call.split()[0] for call in clone.calls()] == ["venv", "pip"]


def test_an_index_in_pips_configuration_is_passed_to_uv(clone):
    """The index is not written to a file of the clone."""
    pip_file = clone.root.parent / "pip.conf"
    pip_file.write_text("[global]\nindex-url = https://index.invalid/simple\n")
    done = clone.with_everything().setup(
        UV_DEFAULT_INDEX="", PIP_CONFIG_FILE=str(pip_file), PYTHONDONTWRITEBYTECODE="1", VIRTUAL_ENV="/elsewhere"
    )
    assert done.returncode == 0, done.stderr
    told = Path(f"{clone.calls_file}.environment").read_text().splitlines()[-1]
    assert told == f"index https://index.invalid/simple cache {clone.root}/.cache/uv bytecode yes"
    written = [path for path in clone.root.rglob("*") if path.is_file() and ".venv/bin" not in str(path)]
    assert written and not any(b"index.invalid" in path.read_bytes() for path in written)


def test_an_index_that_is_set_for_uv_takes_precedence(clone):
    """uv's index replaces the index of pip."""
    clone.with_everything().setup(PIP_INDEX_URL="https://pip.invalid/", UV_DEFAULT_INDEX="https://uv.invalid/")
    assert "index https://uv.invalid/ " in Path(f"{clone.calls_file}.environment").read_text()


def test_missing_prerequisites_are_listed_with_an_apt_command(clone):
    clone.tool("apt-get", "exit 1")
    done = clone.setup()
    assert done.returncode == 1
    assert "missing on this system: g++ pkg-config libopencv-dev libturbojpeg0-dev" in done.stderr
    command = done.stderr.splitlines()[-1]
    assert "sudo apt-get install -y --no-install-recommends g++ pkg-config libopencv-dev libturbojpeg0-dev" in command
    assert "graphviz" in command and "Traceback" not in done.stderr
    assert not (clone.root / ".venv").exists()


def test_missing_prerequisites_are_listed_with_a_conda_command(clone):
    """The system has no apt-get."""
    done = clone.setup()
    assert done.returncode == 1 and "conda install" in done.stderr and "apt-get" not in done.stderr


def test_a_missing_dot_does_not_stop_the_setup(clone):
    clone.with_everything()
    (clone.bin / "dot").unlink()
    assert clone.setup().returncode == 0


@pytest.mark.parametrize("name", ["libturbojpeg0-dev", "libturbojpeg-dev"])
def test_root_installs_missing_packages(clone, name):
    clone.with_everything()
    clone.tool("id", "echo 0")
    (clone.bin / "dot").unlink()
    installed = clone.root.parent / "installed"
    clone.tool("pkg-config", f'[ "$2" != libturbojpeg ] || [ -e "{installed}" ]')
    clone.tool("apt-cache", f'[ "$2" = {name} ]')
    clone.tool("apt-get", f'[ "$1" = update ] || echo "$@" > "{installed}"')
    done = clone.setup()
    assert done.returncode == 0, done.stderr
    assert installed.read_text() == f"install -y --no-install-recommends -q {name} graphviz\n"


def test_old_python_is_refused(clone):
    clone.with_everything().tool("python3", "exit 1")
    done = clone.setup()
    assert done.returncode == 1 and "no Python 3.11 or newer found" in done.stderr
    assert "PYTHON=/path/to/python" in done.stderr


def test_requirements_are_hashed_and_name_no_host():
    assert "://" not in REQUIREMENTS
    assert not re.search(r"^\s*(--(extra-)?index|--find-links|--trusted-host|-i\b|-f\b)", REQUIREMENTS, re.MULTILINE)
    blocks = re.split(r"^(?=[A-Za-z0-9])", REQUIREMENTS, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_the_repository_has_no_second_lock_file():
    listed = subprocess.run(["git", "ls-files"], check=True, cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not [path for path in listed if re.search(r"(^|/)(uv\.lock|pylock.*\.toml|poetry\.lock)$", path)]


def make(*arguments: str, variables: dict[str, str] | None = None) -> str:
    """Return the output of make, run as a user would run it.

    The variables with which a surrounding make (`make test`) controls its parts are removed.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment | (variables or {}), capture_output=True, text=True, check=True
    ).stdout


def test_make_alone_lists_the_targets():
    listed = {line.split()[1] for line in make().splitlines()}
    assert listed == {
        "help",
        "setup",
        "table2",
        "test",
        "lint",
        "dag",
        "docs",
        "docs-site",
        "keep",
        "bench",
        "plan",
        "lock",
        "test-infra",
    }


@pytest.mark.parametrize("gpus", [0, 2])
def test_make_table2_runs_the_documented_command(tmp_path, gpus):
    """make passes on the number of GPUs of the machine; with gpu=0, jobs use all cores."""
    lines = "".join(f"GPU {number}: NVIDIA (UUID: GPU-{number})\n" for number in range(gpus))
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{lines}'\n" if gpus else "#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    printed = make("-n", "table2", variables={"PATH": f"{tmp_path}:{os.environ['PATH']}"}).splitlines()
    assert printed[0] == "envs/setup"
    assert printed[-1] == f"snakemake --cores all --resources gpu={gpus} -- results/table2.csv"


def test_scripts_of_ci_and_setup_are_executable():
    assert os.access(ROOT / ".ci/run", os.X_OK) and os.access(ROOT / "envs/setup", os.X_OK)
