"""What the commands' arguments share: errors in one line, numbers with limits, and the choice of the model."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import NoReturn

from colorize.runtime import ParameterError

_WIDTH = 100  # of the longest line of an example

DEFAULT_MODEL = "objects-unet-0"


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, as all other errors."""

    def __init__(self, **options: object):
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)  # type: ignore[arg-type]  # any

    def error(self, message: str) -> NoReturn:
        """Raise a ParameterError."""
        raise ParameterError(f"{message}; see `{self.prog} --help`")


class _Formatter(argparse.HelpFormatter):
    """Keeps the line breaks of examples, and breaks only lines that are too long."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (textwrap.fill(line, max(width, _WIDTH), subsequent_indent="  ") for line in text.splitlines())
        return "\n".join(indent + line for line in lines)


def integer(low: int, high: int, unit: str = "") -> Callable[[str], int]:
    """Converter of an argument: a whole number between two limits, which are allowed too."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected {low} to {high}{unit and ' '}{unit}, a whole number")
        return value

    return convert


def number(low: float, high: float, unit: str = "", example: float = 1) -> Callable[[str], float]:
    """Converter of an argument: a number between two limits, which are allowed too."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            what = f"expected a number from {low:g} to {high:g}, such as {example:g}"
            raise argparse.ArgumentTypeError(f"{text}: {what}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected {low:g} to {high:g}{unit and ' '}{unit}")
        return value

    return convert


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option `--model`."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="folder of a trained model, or its ONNX file; inside the project's repository also a name under "
        "data/models (default: %(default)s)",
    )
