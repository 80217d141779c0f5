"""Stages and other code in child processes of the tests."""

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import colorize
from colorize import runtime
from tests.helpers import fast_yaml, projects

HANGS_AFTER_S = 600  # no process that is waited for takes so long
_KNOBS = {"COLORIZE_PROCS": "2", "COLORIZE_THREADS": "1", "COLORIZE_DEVICE": "cpu", "COLORIZE_CHECKPOINT_SECONDS": "0"}

_LIBRARIES = (  # most of them are imported only when a function that needs them is called
    "dulwich.porcelain",
    "dulwich.stash",
    "dvc.cachemgr",
    "dvc.data_cloud",
    "dvc.dirs",
    "dvc.utils.hydra",
    "dvc.utils.plots",
    "dvc.utils.strictyaml",
    "dvc_data.fs",
    "dvc_data.hashfile.db.local",
    "dvc_data.hashfile.status",
    "dvc_data.index.checkout",
    "dvc_render.vega",
    "dvc_studio_client.post_live_metrics",
    "dvc_task.proc.manager",
    "fontTools.subset",
    "fsspec.implementations.memory",
    "hydra.core.override_parser.overrides_parser",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "networkx",
    "pandas",
    "ruamel.yaml",
    "safetensors.torch",
    "scmrepo.git.backend.pygit2.filter",
    "torch._dynamo",
    "torchvision",
)


def fork(body: Callable[[], object], folder: Path, log: Path, errors: Path | None = None, **environment: str) -> int:
    """Call `body` in a child process; returns its PID.

    Args:
        body: to call.
        folder: where the child works.
        log: gets what it prints.
        errors: gets what it prints to standard error; default: the log.
        environment: of the child, besides this process's own.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        os.environ.update(environment)
        for stream, path in ((1, log), (2, errors or log)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), stream)
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        body()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(project: Path, stage: tuple[str, ...], log: Path, **environment: str) -> int:
    """Run one stage in a child process; returns its PID."""
    script = importlib.import_module(f"stages.{stage[0]}")
    return fork(lambda: runtime.run(script.main, list(stage[1:])), project, log, **{**_KNOBS, **environment})


def wait(pid: int) -> int:
    """Exit code of a child; minus the signal that killed it. One that hangs is aborted, which shows where it hung."""
    timer = threading.Timer(HANGS_AFTER_S, os.kill, (pid, signal.SIGABRT))
    timer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        timer.cancel()


def run(project: Path, stage: tuple[str, ...], log: Path, **environment: str) -> None:
    """Run one stage in a child process to its end.

    Raises:
        AssertionError: it failed; with what the log says.
    """
    code = wait(start(project, stage, log, **environment))
    assert code == 0, f"{' '.join(stage)} ended with {code}: {log.read_text()}"


def call(program: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """What `python -m program ...` does, in a child process, which need not import torch again.

    Args:
        program: a module with a function `main`, such as "stages.train".
        arguments: of the command line.
        folder: where the child works.
        environment: of the child, besides this process's own.

    Returns:
        Exit code, standard output and standard error.
    """
    main = importlib.import_module(program).main
    with tempfile.TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        pid = fork(lambda: runtime.run(main, list(arguments)), folder, stdout, stderr, **{**_KNOBS, **environment})
        return subprocess.CompletedProcess(arguments, wait(pid), stdout.read_text(), stderr.read_text())


def dvc(project: Path, *arguments: str, **changes: str) -> tuple[int, str]:
    """What the command `dvc` does, in a child process, which runs the stages in children of its own.

    The stages run the code of this process, and not that of the project. A test that changes the code of a project, or
    that sends signals, needs the command itself.

    Args:
        project: where the child works.
        arguments: of the command.
        changes: further environment variables.

    Returns:
        Exit code, and what DVC and the stages printed, both streams in one.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        return wait(start_dvc(project, arguments, log, **changes)), log.read_text()


def start_dvc(project: Path, arguments: tuple[str, ...], log: Path, **changes: str) -> int:
    """Start what `dvc` does; returns the PID. `log` gets what DVC and the stages print."""
    return fork(lambda: sys.exit(_dvc_with_forked_stages(arguments, log)), project, log, **environment(**changes))


def _dvc_with_forked_stages(arguments: tuple[str, ...], log: Path) -> int:
    import dvc.logger
    import dvc.stage.run
    from dvc.cli import main
    from dvc.stage.exceptions import StageCmdFailedError

    def run_stage(executable: str, cmd: str, cwd: str, env: dict[str, str], **options: object) -> None:
        prefix = "exec python -m stages."
        assert cmd.startswith(prefix), cmd
        script, *rest = cmd.removeprefix(prefix).split()
        if code := wait(start(Path(cwd), (script, *rest), log, **env)):
            raise StageCmdFailedError(cmd, code)

    dvc.stage.run._run = run_stage
    fast_yaml.install()
    dvc.logger.setup()  # it kept the streams of the parent
    return main(list(arguments))


def environment(**changes: str) -> dict[str, str]:
    """Environment variables of a command in a project: `python` and `dvc` are those of the tests, on the CPU."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"COLORIZE_DEVICE": "cpu", "COLORIZE_THREADS": "1", "PATH": path, "PYTHONPATH": ""}
    return {**os.environ, **settings, **changes}


def load_everything() -> None:
    """Import what the stages, the tools and DVC import, late imports too, so that children need not."""
    import matplotlib
    import torch
    from PIL import Image

    matplotlib.use("Agg")
    for name in (*_LIBRARIES, *(f"stages.{name}" for name in projects.POINTS)):
        importlib.import_module(name)
    for package in (colorize, importlib.import_module("dvc.repo")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("_cuda"):  # these need Triton
                importlib.import_module(module.name)
    Image.init()
    importlib.import_module("dvc.cli.parser").get_main_parser()  # keeps its result, and so does the next line
    importlib.import_module("matplotlib.mathtext").MathTextParser("agg").parse("$x$")
    torch.set_num_threads(1)
