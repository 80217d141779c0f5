"""Jobs share a GPU through MPS if it starts, otherwise by time slicing; the daemon ends with the run, in every case."""

import os
import re
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

from tests.helpers import processes, projects
from tests.helpers.waiting import until
from tests.tools.test_run_cells import COMMAND, change, environment, log_of
from tools import gpu_sharing

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a real GPU cannot use the daemon of this test")
CONTROL = """#!/bin/sh
if [ "$1" = -d ]; then
  if [ -n "$FAKE_MPS_FAILS" ]; then echo "starting"; echo "$FAKE_MPS_FAILS"; exit 1; fi
  setsid sleep 1000 > /dev/null 2>&1 &
  echo $! > "$CUDA_MPS_PIPE_DIRECTORY/pid"
  echo "$! $CUDA_VISIBLE_DEVICES" >> "$FAKE_MPS_LOG"
elif read -r command && [ "$command" = quit ]; then
  pid=$(cat "$CUDA_MPS_PIPE_DIRECTORY/pid")
  kill "$pid"
  while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.01; done
fi
"""


class Fake:
    """A program that acts like the control program of MPS, and a driver with one GPU."""

    def __init__(self, folder: Path):
        self.folder, self._log = folder, folder / "daemons"
        for name, text in ((gpu_sharing.CONTROL, CONTROL), ("nvidia-smi", "#!/bin/sh\necho 'GPU 0: Fake'\n")):
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {"PATH": path, "FAKE_MPS_LOG": str(self._log), "COLORIZE_DEVICE": "cpu:0"}

    def daemons(self) -> list[tuple[bool, str]]:
        """Of each daemon that was started: whether it still runs, and the GPUs that it has."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [(is_running(pid), gpus) for pid, gpus in (line.split(" ", 1) for line in lines)]


def is_running(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False


@pytest.fixture
def fake(monkeypatch):
    """In a folder with a short path, because the path of a socket is limited."""
    with tempfile.TemporaryDirectory(prefix="mps") as folder:
        made = Fake(Path(folder))
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.chdir(folder)
        yield made


def test_each_gpu_has_a_daemon_until_the_block_ends(fake):
    with gpu_sharing.share(["2", "GPU-ab"], 5) as sharing:
        assert fake.daemons() == [(True, "2"), (True, "GPU-ab")]
        assert sharing.how == "5 jobs at the same time on each GPU, with MPS"
        pipes = [Path(variables["CUDA_MPS_PIPE_DIRECTORY"]) for variables in sharing.environments.values()]
        assert [pipe.relative_to(fake.folder.resolve()) for pipe in pipes] == [
            Path(".state/mps", gpu, "pipe") for gpu in ("2", "GPU-ab")
        ]
        assert {variables["CUDA_VISIBLE_DEVICES"] for variables in sharing.environments.values()} == {"0"}
    assert fake.daemons() == [(False, "2"), (False, "GPU-ab")]


def test_after_an_error_no_daemon_is_left(fake):
    with pytest.raises(ZeroDivisionError), gpu_sharing.share(["0"], 2):
        assert fake.daemons() == [(True, "0")]
        raise ZeroDivisionError
    assert fake.daemons() == [(False, "0")]


def test_a_daemon_that_a_killed_run_has_left_is_ended_first(fake):
    pipe = Path(".state/mps/0/pipe")
    pipe.mkdir(parents=True)
    variables = {**os.environ, "CUDA_MPS_PIPE_DIRECTORY": str(pipe), "CUDA_VISIBLE_DEVICES": "0"}
    subprocess.run([gpu_sharing.CONTROL, "-d"], env=variables, check=True)
    with gpu_sharing.share(["0"], 2):
        assert fake.daemons() == [(False, "0"), (True, "0")]


def test_one_job_per_gpu_needs_no_daemon(fake):
    with gpu_sharing.share(["0", "1"], 1) as sharing:
        assert sharing == ({"0": {"CUDA_VISIBLE_DEVICES": "0"}, "1": {"CUDA_VISIBLE_DEVICES": "1"}}, "")
    assert not fake.daemons()


@pytest.mark.parametrize("case", ["missing", "fails", "unusable", "long path"])
def test_without_mps_jobs_share_by_time_slicing_and_one_line_says_why(fake, case, monkeypatch):
    reason = "An instance of this daemon is already running"
    if case == "missing":
        (fake.folder / "bin" / gpu_sharing.CONTROL).unlink()
        reason = f"there is no program {gpu_sharing.CONTROL}"
    elif case == "fails":
        monkeypatch.setenv("FAKE_MPS_FAILS", reason)
    elif case == "unusable":
        monkeypatch.setattr(gpu_sharing, "_TRY", "import sys; sys.exit('CUDA error 805')")
        reason = "CUDA error 805"
    else:
        monkeypatch.setenv("DVC_ROOT", str(fake.folder / ("long" * 25)))
        reason = "the path "
    with gpu_sharing.share(["0"], 2) as sharing:
        assert sharing.environments == {"0": {"CUDA_VISIBLE_DEVICES": "0"}}
        assert not any(is_there for is_there, _ in fake.daemons())
    start = "2 jobs at the same time on each GPU, by time slicing, because MPS is not available: "
    assert sharing.how.startswith(start + reason)
    assert "\n" not in sharing.how


def test_two_trainings_share_the_gpu_until_sigterm_or_an_error(fake):
    project = projects.make_project(fake.folder / "p", ("regression", "cnn"), steps=1_000_000)
    processes.load_everything()
    for stage in projects.STAGES[:2]:
        processes.run(project, stage, fake.folder / "log")
    assert processes.dvc(project, "commit", "--force", "shard@tiny", "prior@tiny")[0] == 0
    variables = environment(**fake.environment, COLORIZE_CELLS_PER_GPU="2")
    with (fake.folder / "output").open("w") as file:
        process = subprocess.Popen(COMMAND, cwd=project, env=variables, stdout=file, stderr=file)
    until(lambda: len(list(project.glob(".state/checkpoints/tiny-*/*/*.ckpt"))) == 2)  # both are training
    assert fake.daemons() == [(True, "0")]
    process.send_signal(signal.SIGTERM)
    assert process.wait(processes.HANGS_AFTER_S) == 143
    assert fake.daemons() == [(False, "0")]
    how = "2 jobs at the same time on each GPU, with MPS"
    assert how in (fake.folder / "output").read_text().splitlines()
    assert f"run: {how}" in log_of(project).splitlines()
    assert len(re.findall(r"tiny-\S+: begins on GPU 0", log_of(project))) >= 2

    change(project, "train", lr=1e30)
    done = subprocess.run(COMMAND, cwd=project, env=variables, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert fake.daemons() == [(False, "0")] * 2
