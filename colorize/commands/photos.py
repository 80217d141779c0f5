"""`colorize photos`: color photos and folders of photos."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.commands import listing, models
from colorize.commands.arguments import add_model, integer, number
from colorize.runtime import DataError, ParameterError
from colorize.sharding import formats

if TYPE_CHECKING:
    from colorize.commands.folder import Outcome, Wishes
    from colorize.commands.listing import Listed
    from colorize.photos.predict import Colorizer

_FORMATS = ("jpeg", "png", "webp", "tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="photo", help="a photo, or a folder of photos")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("colorized"), metavar="FOLDER",
        help="folder for the results (default: %(default)s); only an earlier result of the same photo is replaced",
    )  # fmt: skip
    parser.add_argument("--recursive", "-r", action="store_true", help="also color subfolders; the tree is kept")
    parser.add_argument(
        "--force", action="store_true",
        help="make results again that are already there; by default, a photo is skipped if a result of the same photo, "
        "model, temperature, size, strength and format exists",
    )  # fmt: skip
    _add_model_options(parser)
    _add_result_options(parser)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--strength", type=number(0, 2, example=1.5), default=1.0, metavar="S",
        help="factor for the colors, 0 to 2: 1 (default) are the predicted colors, 0 is gray",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=number(0, 1, "(0 is the most probable color, 1 the mean)", 0.5), metavar="T",
        help="0: the most probable color of each pixel, as in the paper; 1: the mean of all colors, which is smooth, "
        "and pale where the model sees several different colors as possible (default: 0.38). A regression model has no "
        "temperature",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=integer(16, 1024, "pixels"), metavar="PIXELS",
        help="short side of the image that the network reads, 16 to 1024 (default: that of the photo, but at least the "
        "training size and at most twice the training size)",
    )  # fmt: skip
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ... (default: $COLORIZE_DEVICE, or else cuda if available)"
    )


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", type=_format, choices=_FORMATS,
        help="format of the results (default: that of the photo, or PNG if it is not one of these)",
    )  # fmt: skip
    parser.add_argument(
        "--quality", type=integer(1, 100), metavar="Q",
        help="quality of JPEG and WebP, 1 to 100 (default: about that of the photo)",
    )  # fmt: skip
    parser.add_argument(
        "--subsampling", choices=("4:4:4", "4:2:0"),
        help="colors of a JPEG at full or half size (default: that of the photo)",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", action="store_true",
        help="also write <result>.entropy.png, which shows where the model is unsure: black is sure, white is a guess "
        "(255 is an entropy of log 313 nats)",
    )  # fmt: skip
    parser.add_argument(
        "--max-megapixels", type=number(1, 2000, example=100), default=50.0, metavar="M",
        help="largest photo, 1 to 2000 megapixels (default: 50); a photo needs about 10 MB of memory per megapixel",
    )  # fmt: skip
    parser.add_argument(
        "--no-mark", action="store_true",
        help="do not write into the results that a model made their colors. Viewers then cannot tell, `colorize "
        "inspect` knows nothing, and later runs take the results for photos, and make new ones beside them",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true",
        help="print one JSON object per photo: source, result, map, status (colored, done or failed), note, "
        "fitted_fraction, seconds",
    )  # fmt: skip


def _format(text: str) -> str:
    """A format by its name or by the ending of its files, in any case."""
    return {"jpg": "jpeg", "tif": "tiff"}.get(text.lower(), text.lower())


def run(options: argparse.Namespace) -> None:
    """Color every photo; if a photo failed, exit with code 3 after the last one."""
    started = time.monotonic()
    model = models.find(options.model)
    _check(model, options)
    listed = listing.find(options.photos, options.recursive)
    printer = _Printer(options.json)
    for path, reason in listed.failures:
        printer.fail(path, reason)
    if listed.entries:
        _make_folder(options.out)
        _color(model, listed, options, printer)
    if printer.num_colored and len(listed.entries) > 1:
        seconds = max(1, round(time.monotonic() - started))
        runtime.note(f"{_count(printer.num_colored, 'photo')} colored in {seconds:,} s, into {options.out}/")
    _summarize(listed, options.recursive, printer)
    if printer.num_failed:
        num_all = len(listed.entries) + len(listed.failures)
        if num_all > 1:
            runtime.note(f"{printer.num_failed} of {num_all} photos failed; the errors are above")
        sys.exit(DataError.exit_code)


def _check(model: Path, options: argparse.Namespace) -> None:
    """Find contradictions before torch is imported, which takes seconds."""
    if models.is_regression(model):
        for name in ("temperature", "confidence"):
            if getattr(options, name) not in (None, False):
                raise ParameterError(f"--{name}: a regression model predicts no distribution; leave it out")
    if options.subsampling and options.format not in (None, "jpeg"):
        raise ParameterError(f"--subsampling: only JPEG has it, not {options.format}; leave it out")
    if options.quality and options.format in ("png", "tiff"):
        raise ParameterError(f"--quality: {options.format} has none, because it loses nothing; leave it out")


def _make_folder(folder: Path) -> None:
    from colorize.commands import names
    from colorize.runtime import files

    if folder.exists() and not folder.is_dir():
        raise ParameterError(f"-o {folder}: expected a folder for the results, this is a file")
    if formats.has_image_ending(folder.name) and not folder.exists():
        raise ParameterError(f"-o {folder}: expected a folder for the results, this is the name of a photo")
    names.make_folder(folder)
    files.make_folder(folder)  # checks that it is writable


def _color(model: Path, listed: Listed, options: argparse.Namespace, printer: _Printer) -> None:
    """Color all photos, and print a line for each."""
    if sys.stderr.isatty():
        runtime.note(f"loading {model}")
    colorizer = _load(model, options)
    from colorize.commands import folder

    wishes = _wishes(options)
    with contextlib.ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        if len(listed.entries) > 1:
            advance = stack.enter_context(runtime.progress("color", len(listed.entries), "photos"))
        outcomes = stack.enter_context(contextlib.closing(folder.color(colorizer, listed.entries, wishes)))
        for outcome in outcomes:
            printer.add(outcome)
            if advance:
                advance(1)


def _load(model: Path, options: argparse.Namespace) -> Colorizer:
    """Load the model. This imports torch, which takes seconds, so all other checks come before."""
    import colorize

    name = options.device or ("cpu" if model.is_file() else None)  # ONNX Runtime uses the CPU
    if name and name.split(":")[0] == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ParameterError(f"--device {name}: no GPU found; try --device cpu")
    device = runtime.set_up_torch(name)
    return colorize.load(model, device, options.size, options.temperature, options.strength)


def _wishes(options: argparse.Namespace) -> Wishes:
    from colorize.commands.folder import Wishes

    return Wishes(
        out=options.out,
        format=options.format and options.format.upper(),
        quality=options.quality,
        subsampling=options.subsampling,
        max_pixels=round(options.max_megapixels * 1_000_000),
        is_forced=options.force,
        is_marked=not options.no_mark,
        has_maps=options.confidence,
    )


def _summarize(listed: Listed, is_recursive: bool, printer: _Printer) -> None:
    """Say what was left out, and why."""
    if printer.num_done:
        what = f"skipped {_count(printer.num_done, 'photo')} with a result of the same model and parameters"
        runtime.note(f"{what}; --force makes {'it' if printer.num_done == 1 else 'them'} again")
    if listed.num_results:
        runtime.note(f"skipped {_count(listed.num_results, 'earlier result')}; to color one, name its file")
    if listed.num_subfolders:
        runtime.note(f"left out: {_count(listed.num_subfolders, 'subfolder')}; --recursive adds them")
    if listed.left_out:
        runtime.note(f"left out: {formats.describe(listed.left_out)}")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' if number > 1 else ''}"


class _Printer:
    """Prints what becomes of the photos: lines for people, or one JSON object per photo."""

    def __init__(self, is_json: bool):
        self._is_json = is_json
        self.num_failed = self.num_done = self.num_colored = 0

    def fail(self, path: Path, reason: str) -> None:
        """Report an argument without a photo."""
        self.num_failed += 1
        runtime.note(f"error: {path}: {reason}")
        self._say_json(source=str(path), status="failed", note=reason)

    def add(self, outcome: Outcome) -> None:
        """Report one photo."""
        if outcome.status == "failed":
            self.fail(outcome.path, outcome.note or "")
            return
        self.num_done += outcome.status == "done"
        self.num_colored += outcome.status == "colored"
        if not self._is_json and outcome.status == "colored":
            note = f"{outcome.note}; " if outcome.note else ""
            fitted = f"colors of {100 * (outcome.fitted_fraction or 0):.1f} % of the pixels reduced to fit into sRGB"
            runtime.say(f"{outcome.path} -> {outcome.result}  ({note}{fitted})")  # continues if stdout is closed
        self._say_json(
            source=str(outcome.path),
            result=str(outcome.result),
            map=str(outcome.map) if outcome.map else None,
            status=outcome.status,
            note=outcome.note,
            fitted_fraction=outcome.fitted_fraction,
            seconds=outcome.seconds and round(outcome.seconds, 4),
        )

    def _say_json(self, **fields: object) -> None:
        empty = dict.fromkeys(("result", "map", "note", "fitted_fraction", "seconds"))
        if self._is_json:
            runtime.say(json.dumps({**empty, **fields}, sort_keys=True, allow_nan=False))
