"""Test that the log and the state of an interrupted job are kept, and when the state is saved."""

import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from workflow_scripts.timecat.runtime import resume
from workflow_scripts.timecat.runtime.resume import ResumeFile, TrainingLog


@pytest.fixture
def interrupted(tmp_path):
    """Log of a job that was killed after three lines, as (path, position after the second line)."""
    log = TrainingLog(tmp_path / "step8.jsonl")
    log.add(step=1, loss=0.5)
    log.add(step=2, loss=0.25)
    position = log.position()
    log.add(step=3, loss=0.125)
    log.position()
    log.file.close()
    return tmp_path / "step8.jsonl", position


def test_a_log_gets_its_name_when_it_is_complete(tmp_path):
    """Each line of the log is one JSON object."""
    log = TrainingLog(tmp_path / "folder" / "step8.jsonl")
    log.add(step=1, loss=0.5)
    assert not log.path.exists()
    log.add(step=2, loss=0.25)
    log.finish()
    assert log.path.read_bytes() == b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    assert [path.name for path in log.path.parent.iterdir()] == ["step8.jsonl"]


def test_position_is_the_number_of_bytes_in_the_file(tmp_path):
    log = TrainingLog(tmp_path / "log")
    assert log.position() == 0
    log.add(step=1)
    assert log.position() == len(b'{"step": 1}\n') == log.partial.stat().st_size


def test_lines_after_the_saved_state_are_dropped(interrupted):
    """New lines are appended after the lines that belong to the saved state."""
    path, position = interrupted
    log = TrainingLog(path)
    assert log.keep(position) is True
    assert log.position() == position
    log.add(step=3, loss=1.0)
    log.finish()
    assert path.read_bytes() == b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n{"step": 3, "loss": 1.0}\n'


def test_a_log_that_is_too_short_is_not_padded(interrupted):
    """A file system may lose the end of a log but keep the state. Truncating to a larger size would add NUL bytes."""
    path, _ = interrupted
    log = TrainingLog(path)
    whole = log.partial.read_bytes()
    assert log.keep(len(whole)) is True
    assert log.keep(len(whole) + 1) is False
    assert log.partial.read_bytes() == whole
    assert log.keep(0) is True  # then the job does this
    log.add(step=1)
    log.finish()
    assert path.read_bytes() == b'{"step": 1}\n'


def test_a_state_is_not_resumed_if_its_log_is_missing(tmp_path):
    assert TrainingLog(tmp_path / "log").keep(1) is False


@pytest.fixture
def clock(monkeypatch):
    """Clock that the test sets."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def resume_file(tmp_path, clock):
    made = ResumeFile(tmp_path / "weights", 10)
    yield made
    made.stop_watching()


def test_the_state_is_saved_only_when_it_is_due(resume_file, clock):
    saved = []

    def offer(now, **options):
        clock.now, made = now, []
        resume_file.offer(lambda: made.append(now) or str(now).encode(), step=1, **options)
        saved.append(bool(made))
        assert not made or resume_file.read() == str(now).encode()

    assert resume_file.read() is None
    for now in (100, 109.9, 110, 111, 119.9, 120):
        offer(now)
    assert saved == [False, False, True, False, False, True]
    offer(121, due=True)
    offer(130.9)  # ten seconds are counted from the last save
    offer(131)
    assert saved[6:] == [True, False, True]
    assert [path.name for path in resume_file.path.parent.iterdir()] == [".weights.resume.pt"]
    resume_file.remove()
    assert resume_file.read() is None
    resume_file.remove()


def test_an_interval_of_zero_saves_at_every_step(tmp_path, clock):
    made = ResumeFile(tmp_path / "weights", 0)
    for step in range(3):
        made.offer(lambda step=step: bytes([step]), step)
        assert made.read() == bytes([step])
    made.stop_watching()


def test_stop_watching_restores_the_handlers(tmp_path):
    def own(number, frame):
        """Handle a signal without effect. This is the handler before ResumeFile is created."""

    before = {number: signal.signal(number, own) for number in resume.SIGNALS}
    try:
        made = ResumeFile(tmp_path / "weights", 1)
        assert all(signal.getsignal(number) != own for number in resume.SIGNALS)
        made.stop_watching()
        assert [signal.getsignal(number) for number in resume.SIGNALS] == [own, own]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


JOB = """
import sys, time
from workflow_scripts.timecat.runtime.resume import ResumeFile

made = ResumeFile(sys.argv[1], 1e9)
step_seconds = float(sys.argv[2])
for step in range(1, 10**6):
    print(step, flush=True)
    end = time.monotonic() + step_seconds
    while time.monotonic() < end:  # a signal does not shorten a step
        time.sleep(0.01)
    made.offer(lambda: b"state after step %d" % step, step)
"""


@pytest.fixture
def job(root, tmp_path):
    """Function that starts a job with steps of ``step_seconds`` and returns it during its first step."""
    started = []

    def start(step_seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(JOB), str(tmp_path / "weights"), str(step_seconds)],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "1\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_after_the_step(job, tmp_path, number, code):
    """The exit code is 128 plus the signal's number, as shells report it."""
    process = job(0.2)
    process.send_signal(number)
    output, error = process.communicate(timeout=20)
    assert process.returncode == code and output == ""  # no second step began
    assert (tmp_path / ".weights.resume.pt").read_bytes() == b"state after step 1"
    assert error == f"stopped by signal {number.value} after step 1; the next run continues from this step\n"


def test_a_second_signal_ends_the_process_immediately(job, tmp_path):
    process = job(60)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
