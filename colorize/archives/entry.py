"""One member of an archive: the type that `scan` returns and that `Reader.read` takes."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A regular file in an archive or folder. A tuple needs little memory: Places365 has 1.8 million files."""

    name: str  # as stored, with `/` between folders; in a folder, the path relative to it
    offset: int  # byte offset of the data in a tar, of the local header in a zip; in a folder, the time of change (ns)
    size: int  # bytes, unpacked
    packed: int = 0  # zip only: bytes as stored
    crc: int = 0  # zip only: CRC-32 of the unpacked bytes
    method: int = 0  # zip only: 0 stored, 8 deflated
