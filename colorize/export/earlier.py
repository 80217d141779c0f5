"""Recognizes the ONNX files and pages that this package wrote, so that an export replaces nothing else."""

from pathlib import Path

from colorize import runtime

ONNX_FORMAT = "let-there-be-color 1"  # value of the key `format` in the metadata of an ONNX file
MADE_WITH = "<dt>Made with</dt><dd>let-there-be-color "  # in a page, before the version
MAX_BYTES = (1 << 31) - 1  # the largest file that protobuf, the container of ONNX, can hold

_MARKS = {
    ".onnx": b"\n\x06format\x12" + bytes([len(ONNX_FORMAT)]) + ONNX_FORMAT.encode(),  # key and value in protobuf
    ".html": MADE_WITH.encode(),
}


def is_export(path: Path) -> bool:
    """Whether a file is an ONNX file or a page of an earlier export; False for a file that cannot be read."""
    try:
        return _MARKS[path.suffix.lower()] in runtime.read_bytes(path, MAX_BYTES)
    except (OSError, ValueError):
        return False
