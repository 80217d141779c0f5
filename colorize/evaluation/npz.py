"""Several arrays in one file, with the same bytes after every run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from colorize import runtime


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`np.savez_compressed`, but for headers that vary with the version of Python."""
    with runtime.atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)
