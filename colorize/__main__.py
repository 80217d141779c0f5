"""Color photos with a trained model: `colorize photo.jpg -o out/ --model <folder>`, or `python -m colorize ...`."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if sys.platform == "win32":  # before the imports that Windows lacks
    sys.exit("error: colorize needs Linux or macOS; on Windows, run it in WSL, the Linux that `wsl --install` installs")

from colorize import __version__, runtime
from colorize.layout import stage_name
from colorize.models.registry import MODELS
from colorize.runtime import DataError, ParameterError
from colorize.sharding import formats

if TYPE_CHECKING:
    import numpy as np

    from colorize.photos.predict import Colorizer

_LARGE = 4_000_000  # pixels; a photo of this size takes over two seconds on a small machine, so progress is shown
_SIGNATURE = "colorize"  # value of the PNG text `Software`; it identifies the results of earlier runs
_SOURCE = "Source SHA-256"  # PNG text with the hash of the photo's file; only a result of the same photo is replaced
_COMPRESSION = 4  # PNG compression level; the default 6 takes three times as long and saves only 6 %

_DEFAULT_MODEL = "objects-unet-0"

_REMEDIES = {  # key: a rejection reason of sharding/images.py
    "unsupported bit depth": "more than 16 bits per channel, or a JPEG of 12 bits; convert it to 8 bits",
    "too large": "too large; the limits are 50 megapixels (JPEG 2000 and AVIF: 25) and 256 MiB",
    "too small": "too small; each side needs at least 16 pixels",
    "animated": "animated; save one frame of it as an image",
}


def start() -> None:
    """Run the program: entry point of the console script `colorize` and of `python -m colorize`."""
    runtime.set_up_process()
    runtime.run(main, sys.argv[1:])


def main(*arguments: str) -> None:
    """Parse the arguments and color every photo; if a photo failed, exit with code 3 after the last one."""
    options = _parser().parse_args(arguments)
    folder = _find_model(options.model)
    photos, failures, num_results, left_out = _find_photos(options.photos)
    num_all = len(photos) + failures
    if photos:
        _make_folder(options.out)
        failures += _colorize_all(_load(folder, options), photos, options.out)
    if num_results:
        plural = "s" if num_results > 1 else ""
        runtime.note(f"skipped {num_results} earlier result{plural}; to color one, name its file")
    if left_out:
        runtime.note(f"left out: {formats.describe(left_out)}")
    if failures:
        if num_all > 1:
            runtime.note(f"{failures} of {num_all} photos failed; the errors are above")
        sys.exit(DataError.exit_code)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, as all other errors."""

    def error(self, message: str) -> NoReturn:
        """Raise a ParameterError."""
        raise ParameterError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="colorize",
        description="Color photos with a trained model. The model uses only the lightness of a photo. The result keeps "
        "this lightness and the size of the photo; it is saved as a PNG file.",
        epilog="Exit codes: 0 all photos are colored, 2 an argument is wrong, 3 a photo or the model is missing or "
        "cannot be used.",
    )
    parser.add_argument(
        "photos",
        nargs="+",
        type=Path,
        metavar="photo",
        help="a photo, or a folder of photos; earlier results in a folder are skipped",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("colorized"),
        help="folder for the results (default: %(default)s); only an earlier result of the same photo is replaced",
    )
    _add_model_options(parser)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=_DEFAULT_MODEL,
        help="folder of a trained model; inside the project's repository also a name under data/models "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="0: the most probable color of each pixel, as in the paper; 1: the mean of all colors; in between "
        "(default: 0.38): smooth surfaces with vivid colors. A regression model has no temperature",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="short side of the image that the network reads, 16 to 1024 (default: that of the photo, but at "
        "least the training size and at most twice the training size)",
    )
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ... (default: $COLORIZE_DEVICE, or else cuda if available)"
    )


# --- arguments -------------------------------------------------------------------------------------------------------


def _find_model(name: str) -> Path:
    """Folder of a model given by name or path."""
    root = runtime.repo_root()
    models = root / "data" / "models"
    for folder in (Path(name), models / name):
        if (folder / "model.json").is_file():
            return folder
    if Path(name).is_dir():
        raise DataError(f"{name}: no model.json in this folder; expected the folder of a trained model")
    if not (root / "dvc.yaml").is_file():
        names = f"names of models (the default is {_DEFAULT_MODEL}) are known only inside the project's repository"
        raise DataError(f"no model {name}: no such folder, and {names}; pass a trained model's folder with --model")
    found = ", ".join(sorted(path.parent.name for path in models.glob("*/model.json"))) or "none"
    remedy = "model names have the form <data set>-<model>-<seed>"
    if _is_run(name):
        remedy = f"train it with `dvc repro {stage_name('train', name)}`"
    raise DataError(f"no model {name} in {models} (found: {found}); {remedy}")


def _is_run(name: str) -> bool:
    """Whether a name has the form <data set>-<model>-<seed>."""
    dataset, *rest = name.split("-")
    return len(rest) == 2 and bool(dataset) and "/" not in dataset and rest[0] in MODELS and rest[1].isdecimal()


def _find_photos(named: list[Path]) -> tuple[list[Path], int, int, dict[str, int]]:
    """List the photos to color.

    Returns:
        all photos, each once; the number of arguments without a photo, each reported on stderr; the number of skipped
        results; and the number of other files in the folders by ending, without hidden files. Results of earlier runs
        may be in the same folder as the photos.
    """
    photos: dict[Path, Path] = {}  # resolved path -> path as given
    results: set[Path] = set()
    others: dict[Path, str] = {}  # resolved path -> name as given
    failures = 0
    for path in named:
        try:
            found = [path]
            if path.is_dir():
                files = [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
                listed = sorted(file for file in files if formats.is_image(file.name))
                others |= {file.resolve(): file.name for file in files if not formats.is_image(file.name)}
                found = [file for file in listed if not _result_text(file)]
                results |= {file.resolve() for file in set(listed) - set(found)}
            if not found or not found[0].exists():
                raise FileNotFoundError(None, "no such file or folder" if found else "no photos in this folder")
            for photo in found:
                photos.setdefault(photo.resolve(), photo)
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            _report(path, _reason(error))
            failures += 1
    left_out = formats.endings(name for file, name in others.items() if file not in photos)
    return list(photos.values()), failures, len(results - photos.keys()), left_out


def _make_folder(folder: Path) -> None:
    if formats.has_image_ending(folder.name) and not folder.exists():
        raise ParameterError(f"-o {folder}: expected a folder for the results, this is the name of a photo")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot create this folder ({error.strerror}); choose another one with -o") from None


# --- coloring --------------------------------------------------------------------------------------------------------


def _load(folder: Path, options: argparse.Namespace) -> Colorizer:
    """Load the model. This imports torch, which takes seconds, so all other checks come before."""
    if sys.stderr.isatty():
        runtime.note(f"loading {folder}")
    import colorize

    device = runtime.set_up_torch(options.device)
    return colorize.load(folder, device, options.size, options.temperature)


def _colorize_all(colorizer: Colorizer, photos: list[Path], out: Path) -> int:
    """Color the photos one after the other; return the number of failures."""
    from colorize.sharding.images import Reject

    taken = {_key(photo) for photo in photos}
    failures = 0
    for photo in photos:
        try:
            line = _colorize(colorizer, photo, out, taken)
        except Reject as reject:
            _report(photo, _REMEDIES.get(reject.reason, reject.reason))
            failures += 1
        except OSError as error:
            _report(photo, _reason(error))
            failures += 1
        else:
            runtime.say(line)  # continues if stdout is closed early, as by `colorize ... | head -1`
    return failures


def _colorize(colorizer: Colorizer, photo: Path, out: Path, taken: set[str]) -> str:
    """Color one photo, save it and return the line to print."""
    import numpy as np

    from colorize.sharding.images import open_with_note

    content = _read(photo)
    source = hashlib.sha256(content).hexdigest()
    picture, note = open_with_note(content)
    rgb = np.asarray(picture)
    height, width = rgb.shape[:2]
    is_large = height * width >= _LARGE
    with runtime.progress(photo.name, height, "rows") if is_large else contextlib.nullcontext() as advance:
        result = colorizer.colorize(rgb, advance)
    path = _result_path(out, photo.stem, source, taken)
    assert result.rgb is not None
    _save(path, result.rgb, source)
    fitted = f"colors of {100 * result.fitted_fraction:.1f} % of the pixels reduced to fit into sRGB"
    return f"{photo} -> {path}  ({f'{note}; ' if note else ''}{fitted})"


def _read(photo: Path) -> bytes:
    """Read a file; raise an error if it is not a regular file, or too large."""
    from colorize.sharding.images import MAX_BYTES, TOO_LARGE, Reject

    if not photo.is_file():  # reading a named pipe or a device may never end
        raise OSError(None, "not a regular file")
    if photo.stat().st_size > MAX_BYTES:
        raise Reject(TOO_LARGE)
    return photo.read_bytes()


def _result_path(out: Path, stem: str, source: str, taken: set[str]) -> Path:
    """The path of the result: out/stem.png, or the first free one of out/stem-2.png, out/stem-3.png, ...

    A path is not free if it is an input, a result of this run, or a file that is not a result of the same photo.
    """
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    paths = (out / f"{name}.png" for name in names if _key(out / f"{name}.png") not in taken)
    path = next(path for path in paths if not os.path.lexists(path) or _result_text(path).get(_SOURCE) == source)
    taken.add(_key(path))
    return path


def _key(path: Path) -> str:
    """A key that is equal for all names of one file, also on file systems that ignore case."""
    return str(path.resolve()).casefold()


def _result_text(path: Path) -> dict[str, str]:
    """PNG texts of a result of an earlier run, even if it was renamed; empty for any other file."""
    from PIL import Image

    if not path.is_file():  # opening a named pipe may block forever
        return {}
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            texts = {name: text for name, text in picture.info.items() if isinstance(name, str)}
            return texts if texts.get("Software") == _SIGNATURE else {}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises on other files
        return {}


def _save(path: Path, rgb: np.ndarray, source: str) -> None:
    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Software", _SIGNATURE)
    text.add_text("Comment", "Colors predicted by a neural network")
    text.add_text(_SOURCE, source)
    with runtime.atomic_write(path) as file:
        Image.fromarray(rgb).save(file, "PNG", pnginfo=text, compress_level=_COMPRESSION)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _report(path: Path, problem: str) -> None:
    runtime.note(f"error: {path}: {problem}")


if __name__ == "__main__":
    start()
