"""Compare this process before and after `colorize` is imported, loads a model and is called; prints JSON.

    python tests/helpers/effects.py <folder of a model>

Other libraries may change the process when they are imported: this script imports those that `colorize` needs before
it records the state of the process for the first time.
"""

import ast
import atexit
import contextlib
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import pkgutil
import random
import re
import signal
import sys
import threading
import warnings
from operator import attrgetter
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
NEEDS_TRITON = {"colorize.ops.transform_cuda", "colorize.ops.loss_cuda", "colorize.ops.targets_cuda"}
TORCH = (
    "are_deterministic_algorithms_enabled",
    "get_default_device",
    "get_default_dtype",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "is_autocast_enabled",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
)
BACKENDS = (
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_tf32",
    "cudnn.allow_tf32",
    "cudnn.benchmark",
    "cudnn.deterministic",
    "cudnn.enabled",
    "mkldnn.enabled",
)


_hooks = []  # functions that were registered to run at a fork: Python does not list them
_SIGNALS = r"^Sig(?!Q).*"  # not SigQ, which counts the signals of all processes of the user


def note_fork_hooks() -> None:
    """Note from now on which functions are registered to run at a fork."""
    register = os.register_at_fork

    def note_and_register(**functions) -> None:
        _hooks.extend(functions.values())
        register(**functions)

    os.register_at_fork = note_and_register


def import_others() -> None:
    """Import what the modules of `colorize` import when they are imported themselves."""
    names = set()
    for path in (REPO / "colorize").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for name in sorted(name for name in names if name.partition(".")[0] != "colorize"):
        with contextlib.suppress(ImportError):  # not every imported name is a module, and triton is not everywhere
            importlib.import_module(name)
    importlib.import_module("numba").njit(lambda: None)()  # its first compilation registers an exit hook of colorama


def import_colorize() -> list[str]:
    """Import everything below `colorize`; the modules that cannot be, for want of triton."""
    import colorize

    skipped = []
    for module in pkgutil.walk_packages(colorize.__path__, "colorize."):
        if module.name in NEEDS_TRITON and not importlib.util.find_spec("triton"):
            skipped.append(module.name)
        else:
            importlib.import_module(module.name)
    return skipped


def state() -> dict[str, str]:
    """What an import must leave alone."""
    import numpy as np
    import torch
    from PIL import Image, ImageFile

    status = Path("/proc/self/status")  # of Linux: which signals have a handler, one of a C library too
    return {
        **{f"environment: {name}": value for name, value in os.environ.items()},
        **{f"torch: {name}": repr(getattr(torch, name)()) for name in TORCH},
        **{f"torch.backends: {name}": repr(attrgetter(name)(torch.backends)) for name in BACKENDS},
        **{f"signal {number!r}": repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "signals": repr(re.findall(_SIGNALS, status.read_text(), re.MULTILINE) if status.exists() else None),
        "torch: random state": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "torch: memory filled": repr(torch.utils.deterministic.fill_uninitialized_memory),
        "torch: CUDA device": repr(torch.cuda.current_device() if torch.cuda.is_available() else None),
        "numpy": repr((np.geterr(), np.get_printoptions())),
        "numpy: random state": hashlib.sha256(repr(np.random.get_state(legacy=False)).encode()).hexdigest(),
        "random state": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "pillow": repr((Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)),
        "warning filters": repr((warnings.filters, warnings.showwarning)),
        "fork hooks": repr(_hooks),
        "exit hooks": repr(atexit._ncallbacks()),
        "excepthooks": repr((sys.excepthook, threading.excepthook, sys.unraisablehook)),
        "threads": repr(threading.enumerate()),
        "garbage collector": repr((gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())),
        "folder": str(Path.cwd()),
        "streams": repr((sys.stdin, sys.stdout, sys.stderr)),
    }


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def main(model: str) -> None:
    note_fork_hooks()
    import_others()
    before = state()
    skipped = import_colorize()
    imported = state()
    import numpy as np

    import colorize

    colorizer = colorize.load(model)
    loaded = state()
    colorizer(np.zeros((20, 30, 3), np.uint8))
    found = {"import": changes(before, imported), "load": changes(imported, loaded), "call": changes(loaded, state())}
    print(json.dumps({**found, "skipped": skipped}))


if __name__ == "__main__":
    main(*sys.argv[1:])
