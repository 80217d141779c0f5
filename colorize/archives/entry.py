"""One member of an archive: the type that every lister makes and every reader takes."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A regular file in an archive or folder; small, because Places has 1.8 million of them."""

    name: str  # as stored, `/` between folders; relative to the folder for a folder
    offset: int  # byte offset: of the data in a tar, of the local header in a zip, 0 in a folder
    size: int  # bytes, unpacked
    packed: int = 0  # zip only: bytes as stored
    crc: int = 0  # zip only: CRC-32 of the unpacked bytes
    method: int = 0  # zip only: 0 stored, 8 deflated
