"""A folder for a model hub: weights, sidecar, ONNX file, license and model card. `colorize.load` takes the folder.

Nothing is uploaded: the hub's own tools do that.
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from colorize import runtime
from colorize.export import card, facts, onnx
from colorize.models import files
from colorize.runtime import DataError, ParameterError

CARD, LICENSE, ONNX, WEIGHTS, SIDECAR = "README.md", "LICENSE", "model.onnx", "model.safetensors", "model.json"


def write(folder: Path, out: Path, fp16: bool = False) -> list[Path]:
    """Write the folder of a trained model.

    Args:
        folder: folder of the model.
        out: folder to write: new, empty, or written by an earlier call, whose files are replaced.
        fp16: store the weights in the ONNX file as float16; `model.safetensors` keeps them as they are.

    Returns:
        the files.

    Raises:
        DataError: the model is missing or damaged, or the folder cannot be written.
        ParameterError: the folder has other files, or the packages for ONNX are missing.
    """
    _check_folder(folder, out)
    sidecar = files.check(folder)
    content = onnx.build(folder, fp16)
    with runtime.atomic_write(out / ONNX) as file:
        file.write(content)
    runtime.write_text(out / LICENSE, license_text())
    runtime.write_text(out / CARD, card.render(facts.gather(folder, sidecar)))
    with runtime.open_regular(folder / WEIGHTS) as source, runtime.atomic_write(out / WEIGHTS) as target:
        shutil.copyfileobj(source, target)
    runtime.write_json(out / SIDECAR, sidecar)  # last: the folder is a model only when it is complete
    return [out / name for name in (WEIGHTS, SIDECAR, ONNX, LICENSE, CARD)]


def license_text() -> str:
    """The license of the project, which is also that of the exported files."""
    return resources.files(__package__).joinpath(LICENSE).read_text(encoding="utf-8")


def _check_folder(folder: Path, out: Path) -> None:
    """Check that nothing of others would be replaced."""
    try:
        if not out.is_dir():
            if os.path.lexists(out):
                raise ParameterError(f"--hub {out}: expected a folder, this is a file")
            return
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise DataError(f"{out}: cannot be read ({error.strerror}); choose another folder") from None
    if names and (out.samefile(folder) or not _is_own(out / CARD)):
        raise ParameterError(f"--hub {out}: the folder has other files; give a new folder, or one of an earlier export")


def _is_own(path: Path) -> bool:
    """Whether a model card was written by this package."""
    try:
        return f"\nlibrary_name: {card.LIBRARY}\n" in runtime.read_bytes(path, 1 << 20).decode("utf-8")
    except (OSError, ValueError):
        return False
