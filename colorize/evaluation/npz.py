"""Several arrays in one file, with the same bytes after every run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from colorize import runtime


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`np.savez`, but for headers that vary with the version of Python. Only measured values are not compressed.

    Compression would make measured values at most a tenth smaller, and reading them five times slower.
    """
    with runtime.atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            is_measured = array.dtype.kind == "f" and array.ndim == 1
            kind = zipfile.ZIP_STORED if is_measured else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), kind)
