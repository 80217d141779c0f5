"""`colorize page`: one HTML file that colors photos in a browser; the short form of `colorize export --page`."""

from __future__ import annotations

import argparse
from pathlib import Path

from colorize.commands.arguments import DEFAULT_MODEL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL,
        help="folder of a trained model; inside the project's repository also a name (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("colorize.html"), metavar="FILE",
        help="the page to write (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--fp16", action="store_true", help="weights as 16-bit numbers: half the size")
    parser.add_argument(
        "--runtime", type=Path, metavar="FOLDER",
        help="folder of the npm package onnxruntime-web (default: the one that `make export` installed)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Write the page; errors are those of `colorize export`."""
    from colorize.commands import export

    forms = {"onnx": None, "hub": None, "page": options.out}
    export.run(argparse.Namespace(model=options.model, fp16=options.fp16, runtime=options.runtime, **forms))
