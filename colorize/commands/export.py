"""`colorize export`: a trained model as an ONNX file, as a folder for a model hub, or as one HTML page.

Each of the three needs the packages that `make export` installs.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from colorize import runtime
from colorize.commands import models
from colorize.commands.arguments import DEFAULT_MODEL
from colorize.runtime import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        help="folder of a trained model; inside the project's repository also a name under data/models "
        "(default: %(default)s)",
    )
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write an ONNX file, for ONNX Runtime")
    parser.add_argument(
        "--hub",
        type=Path,
        metavar="FOLDER",
        help="write a folder for a model hub: weights, ONNX file, license, and a model card generated from the run; "
        "nothing is uploaded",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write one HTML page that colors photos in a browser, without a server or a network connection",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        help="folder of the npm package onnxruntime-web, for --page (default: the one that `make export` installed)",
    )
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="store the weights in the ONNX file and in the page as 16-bit numbers: half the size, and almost the same "
        "colors; the computation keeps 32 bits",
    )


def run(options: argparse.Namespace) -> None:
    """Write the files that the options name.

    Raises:
        ParameterError: no file is named, a file has a wrong ending or would replace a file of others, or a package is
            missing.
        DataError: the model is missing or damaged, or a file cannot be written.
    """
    if not (options.onnx or options.hub or options.page):
        raise ParameterError("nothing to write; give --onnx FILE, --hub FOLDER or --page FILE")
    for name, path, ending in (("--onnx", options.onnx, ".onnx"), ("--page", options.page, ".html")):
        if path:
            _check_file(name, path, ending)
    folder = models.find(options.model)
    if not folder.is_dir():
        raise ParameterError(f"{folder}: expected the folder of a trained model; an ONNX file cannot be exported again")
    if options.onnx:
        from colorize.export import onnx

        size = onnx.write(folder, options.onnx, options.fp16)
        runtime.say(f"{folder} -> {options.onnx}  ({_megabytes(size)}; ONNX Runtime and torch agree)")
    if options.hub:
        from colorize.export import hub

        written = hub.write(folder, options.hub, options.fp16)
        runtime.say(f"{folder} -> {options.hub}  ({', '.join(path.name for path in written)})")
    if options.page:
        from colorize.export import page

        size = page.write(folder, options.page, options.fp16, options.runtime)
        runtime.say(f"{folder} -> {options.page}  ({_megabytes(size)}; open it in a browser)")


def _check_file(option: str, path: Path, ending: str) -> None:
    """Check that a file is named as what it will be, and that nothing of others would be replaced."""
    from colorize.export import earlier

    if path.is_dir():
        raise ParameterError(f"{option} {path}: expected a file, this is a folder")
    if path.suffix.lower() != ending:
        raise ParameterError(f"{path}: expected a name that ends with {ending}, such as {path.stem}{ending}")
    if os.path.lexists(path) and not earlier.is_export(path):
        raise ParameterError(f"{path}: exists, and is not an earlier export; give another name, or move this file away")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
