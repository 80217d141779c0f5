"""Read the size of a WebP's canvas (RFC 9649), to check it before Pillow opens the file and allocates the canvas."""

_KEY_FRAME = b"\x9d\x01\x2a"  # start code of a lossy image; it follows three bytes that describe the frame
_SIDE = (1 << 14) - 1  # bit mask for the width or height in a simple WebP


def read_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Width and height in pixels; None if the data is not a WebP.

    Raises:
        ValueError: the file is truncated, or its first chunk has a type that is not allowed there.
    """
    head = bytes(data[:30])
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    if len(data) < int.from_bytes(head[4:8], "little") + 8 or len(head) < 30:
        raise ValueError("truncated")
    kind, content = head[12:16], head[20:]
    if kind == b"VP8X":
        return int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1
    if kind == b"VP8L":
        sides = int.from_bytes(content[1:5], "little")
        return (sides & _SIDE) + 1, (sides >> 14 & _SIDE) + 1
    if kind == b"VP8 " and content[3:6] == _KEY_FRAME:
        return int.from_bytes(content[6:8], "little") & _SIDE, int.from_bytes(content[8:10], "little") & _SIDE
    raise ValueError("neither a simple nor an extended WebP")
