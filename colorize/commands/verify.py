"""`colorize verify`: check a model, or all files of the pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from colorize import runtime
from colorize.commands import models
from colorize.runtime import DataError, ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "path", nargs="?",
        help="a model (a folder, or an ONNX file), or an output of the pipeline (default: all outputs of the "
        "repository that contains the working directory)",
    )  # fmt: skip
    parser.add_argument("--repair", action="store_true", help="repair the pipeline's own outputs; see `make verify`")


def run(options: argparse.Namespace) -> None:
    """Check a model, or the pipeline's files; exit with code 3 if there is a problem."""
    path, root = options.path and Path(options.path).absolute(), _repository()
    is_output = root is not None and (path is None or path.is_relative_to(root / "data"))
    is_model = path is not None and (path.suffix == ".onnx" or (path / "model.json").is_file())
    if is_output or not (is_model or root is None):
        _verify_pipeline(options)
        return
    if options.repair:
        raise ParameterError("--repair: only for outputs of the pipeline; copy a damaged model again from its source")
    if path is None:
        raise ParameterError(f"{Path.cwd()}: no dvc.yaml in this folder or above it; name the model to check")
    model = models.find(options.path)
    import colorize

    colorizer = colorize.load(model, "cpu")  # checks the hash of the weights, and their values
    runtime.say(f"{model}: intact; a {colorizer.name} model with SHA-256 {colorizer.sha256}")


def _repository() -> Path | None:
    """The repository that contains the working directory."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), None)


def _verify_pipeline(options: argparse.Namespace) -> None:
    try:
        from colorize import verify
    except ModuleNotFoundError as error:
        remedy = "run it with the Python of the repository, .venv/bin/python"
        raise DataError(f"the package {error.name} is missing, which the pipeline needs; {remedy}") from None
    verify.main(*(["--repair"] if options.repair else []), *([options.path] if options.path else []))
