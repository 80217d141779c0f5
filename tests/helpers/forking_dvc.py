"""The command `dvc`, whose stages are children of this process, which has torch and `colorize` loaded.

    python tests/helpers/forking_dvc.py repro ...

Unlike `processes.dvc`, this runs the code of the folder in which it is started: nothing of this repository is imported.
"""

import importlib
import os
import pkgutil
import runpy
import sys
import traceback
from pathlib import Path

import dvc.stage.run
from dvc.cli import main
from dvc.stage.exceptions import StageCmdFailedError

LIBRARIES = ("torch", "torch._dynamo", "torchvision", "safetensors.torch", "matplotlib.pyplot", "pandas", "pydantic")


def run_stage(executable: str, cmd: str, cwd: str, env: dict[str, str], **options: object) -> None:
    """Run the command of a stage, `exec python -m stages.<name> ...`, in a child process.

    Raises:
        StageCmdFailedError: it failed.
    """
    prefix = "exec python -m "
    assert cmd.startswith(prefix), cmd
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _run_module(cmd.removeprefix(prefix).split(), cwd, env)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise StageCmdFailedError(cmd, code)


def _run_module(command: list[str], cwd: str, env: dict[str, str]) -> None:
    """Do what `python -m <module> <arguments>` does, and end the process."""
    code = 1
    try:
        os.chdir(cwd)
        os.environ.update(env)
        sys.argv = command
        sys.path[0] = cwd
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else end.code is not None
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.path[0] = str(Path.cwd())
    for module in pkgutil.walk_packages(importlib.import_module("colorize").__path__, "colorize."):
        if not module.name.endswith("_cuda"):  # these need Triton
            importlib.import_module(module.name)
    dvc.stage.run._run = run_stage
    sys.exit(main(sys.argv[1:]))
