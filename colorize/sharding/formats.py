"""The image formats that are read, and the file endings by which images are found in folders, zips and tars.

Data sets and the command line use the same list. The ending decides only whether a file is listed; how a listed file is
decoded is decided by its first bytes.
"""

import re
from collections import Counter
from collections.abc import Iterable

# Pillow's name of a format -> file endings. EPS is missing, because Pillow starts Ghostscript for it.
_ENDINGS = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "mpo"),
    "PNG": ("png",),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff"),
    "BMP": ("bmp", "dib"),
    "GIF": ("gif",),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
    "AVIF": ("avif",),
    "JPEG2000": ("jp2", "j2k", "jpf", "jpx", "jpc", "j2c"),
}
FORMATS = tuple(_ENDINGS)

# A regular expression for the whole name of an image, which may contain folders. Hidden files and the resource forks
# that macOS adds to zips are not images, even with the ending of an image.
ANY_IMAGE = (
    r"(?!(?:.*/)?(?:\.|__MACOSX/))(?s:.*)\.(?i:" + "|".join(end for ends in _ENDINGS.values() for end in ends) + ")"
)

HEIC_REMEDY = "convert it to JPEG, for example with heif-convert"

_is_image = re.compile(ANY_IMAGE).fullmatch
_HEIC = (".heic", ".heif", ".hif")
_PLAIN_ENDING = re.compile(r"\.\w{1,10}", re.ASCII)  # other endings may contain anything, so they are only counted
_MOST_ENDINGS = 6  # that a message names


def is_image(name: str) -> bool:
    """Whether a file is listed as an image because of its name."""
    return _is_image(name) is not None


def has_image_ending(name: str) -> bool:
    """Whether a name ends like that of an image, even if it is the name of a hidden file."""
    return _is_image("x" + name.rpartition("/")[2]) is not None


def endings(names: Iterable[str]) -> dict[str, int]:
    """Count the files that were left out, by ending.

    Args:
        names: names of files, which may contain folders.

    Returns:
        Ending in lowercase, such as ".txt", -> number of files; the most frequent ending is the first. Further keys are
        "hidden" for hidden files, "no ending", and "other" for endings with other characters than ASCII letters,
        digits and _, or with more than 10 of them.
    """
    return in_order(Counter(map(_ending, names)))


def in_order(counts: Counter[str]) -> dict[str, int]:
    """The counts without zeros, the largest first."""
    return dict(sorted((+counts).items(), key=lambda pair: (-pair[1], pair[0])))


def _ending(name: str) -> str:
    base = name.rpartition("/")[2]
    if base.startswith("."):
        return "hidden"
    _, dot, ending = base.rpartition(".")
    if not dot:
        return "no ending"
    ending = "." + ending.lower()
    return ending if _PLAIN_ENDING.fullmatch(ending) else "other"


def describe(counts: dict[str, int]) -> str:
    """Describe the result of `endings` for a message, for example "3 files (.heic 2, .txt 1)", and name a remedy."""
    total = sum(counts.values())
    shown = [f"{ending} {count:,}" for ending, count in list(counts.items())[:_MOST_ENDINGS]]
    more = ["..."] if len(counts) > _MOST_ENDINGS else []
    remedy = f"; HEIC: {HEIC_REMEDY}" if any(ending in counts for ending in _HEIC) else ""
    return f"{total:,} file{'s' if total != 1 else ''} ({', '.join(shown + more)}){remedy}"
