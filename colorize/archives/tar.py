"""List the members of a mapped tar (ustar, GNU or pax), and verify the checksum of every header.

Python's `tarfile` treats a damaged header after the first one as the end of the archive, without an error. It is also
about ten times slower. Here the archive is refused unless the headers lead to the end mark: two zero blocks, followed
only by zeros. Formats: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

import gc
import mmap
import re
from collections import Counter
from pathlib import Path

import numpy as np

from colorize.archives.entry import Entry
from colorize.runtime import DataError

BLOCK = 512
BATCH = 4096  # headers whose checksums are computed in one call of numpy
MAX_PADDING = 1 << 26  # bytes of zeros at the end; tar writes a few thousand
MAX_EXTENSION = 1 << 20  # bytes of a long name or of a pax header; real ones have a few thousand at most

_REGULAR = b"0\x007"
_WITHOUT_DATA = {  # type -> name under which such members are counted; folders are not counted
    ord("1"): "hard link",
    ord("2"): "symbolic link",
    ord("3"): "device or pipe",
    ord("4"): "device or pipe",
    ord("5"): "",
    ord("6"): "device or pipe",
}
_ZERO_BLOCK = bytes(BLOCK)
_PAX_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]{1,1000})=")  # length of the whole record, key
_PAX_KEYS = (b"path", b"size")
_SPARSE = "GNU.sparse"  # start of the keys of sparse members


def walk(data: mmap.mmap, path: Path) -> tuple[list[Entry], Counter]:
    """The members of a tar in the order of the archive, and the number of skipped members of each kind.

    Raises:
        DataError: a header does not match its checksum, a member reaches past the end, or the end mark is missing;
            the message names the file and the byte offset.
    """
    enabled = gc.isenabled()
    gc.disable()  # collection would double the time, and a million tuples without reference cycles need none
    try:
        walker = _Walker(data, path)
        walker.run()
    finally:
        if enabled:
            gc.enable()
    return walker.entries, walker.skipped


class _Walker:
    """State of one walk: members found, headers not yet verified, and fields for the next member."""

    def __init__(self, data: mmap.mmap, path: Path):
        self.data, self.path = data, path
        self.entries: list[Entry] = []
        self.skipped: Counter = Counter()
        self.offsets: list[int] = []  # byte offsets of the headers that are not verified yet
        self.headers: list[bytes] = []
        self.defaults: dict[str, bytes] = {}  # pax global header
        self.extended: dict[str, bytes] = {}  # fields of the next member, from a long name or a pax header
        self.announced: set[int] = set()  # types of the extended headers before the next member

    def run(self) -> None:
        """Read header after header, up to the end mark."""
        data, entries, total = self.data, self.entries, len(self.data)
        offset = 0
        while True:
            header = data[offset : offset + BLOCK]
            if header == _ZERO_BLOCK:
                break
            if len(header) < BLOCK:
                raise self._damaged(offset, "truncated: the end mark is missing")
            if len(self.headers) == BATCH:
                self._verify()
            self.offsets.append(offset)
            self.headers.append(header)
            # fast path for the common case: a regular file without an extended header
            if header[156] == 48 and not self.announced and not self.defaults:
                name, size = _stored_name(header), self._number(header, offset)
                start = offset + BLOCK
                offset = start + (size + BLOCK - 1) // BLOCK * BLOCK
                if name[-1:] != "/" or size:
                    entries.append(Entry(name, start, size))
            else:
                offset = self._special(header, offset)
            if offset > total:
                raise self._damaged(
                    self.offsets[-1], "truncated: a member starts here and reaches past the end of the file"
                )
        self._verify()
        self._check_end(offset)

    def _special(self, header: bytes, offset: int) -> int:
        """Process a header that is not the common case; return the offset of the next header."""
        kind = header[156]
        start = offset + BLOCK
        if kind in b"xgLK":
            size = self._number(header, offset)
            self._extend(kind, self._extension(start, size, offset), offset)
            return start + -(-size // BLOCK) * BLOCK
        fields, self.extended = self.defaults | self.extended, {}
        self.announced.clear()
        name = _text(fields["path"]) if "path" in fields else _stored_name(header)
        if kind in _WITHOUT_DATA:
            if _WITHOUT_DATA[kind]:
                self.skipped[_WITHOUT_DATA[kind]] += 1
            return start  # links and devices store no data, so ignore the size field
        if kind == ord("S") or _SPARSE in fields:
            raise self._damaged(
                offset, "a sparse member, which cannot be read in place", "make the tar again without --sparse"
            )
        size = self._pax_size(fields["size"], offset) if "size" in fields else self._number(header, offset)
        if kind not in _REGULAR:
            self.skipped[f"member of type {chr(kind)!r}"] += 1
        elif not name.endswith("/") or size:  # the oldest tars mark a folder only by the slash at the end
            self.entries.append(Entry(name, start, size))
        return start + -(-size // BLOCK) * BLOCK

    def _extension(self, start: int, size: int, offset: int) -> bytes:
        if size > MAX_EXTENSION:
            raise self._damaged(offset, f"an extended header of {size:,} bytes is too large")
        if start + size > len(self.data):
            raise self._damaged(offset, "truncated inside an extended header")
        return self.data[start : start + size]

    def _extend(self, kind: int, body: bytes, offset: int) -> None:
        """Store the fields of a GNU long name or a pax header for the members after it."""
        if kind in self.announced:
            raise self._damaged(offset, "two extended headers for one member: the member between them is missing")
        if kind != ord("g"):
            self.announced.add(kind)
        if kind == ord("L"):
            self.extended["path"] = body.split(b"\0", 1)[0]
        elif kind != ord("K"):  # K is the target of a link, which is not needed
            (self.extended if kind == ord("x") else self.defaults).update(self._pax_records(body, offset))

    def _pax_records(self, body: bytes, offset: int) -> dict[str, bytes]:
        """Parse records "length key=value\\n". The length includes its own digits; a value may contain newlines."""
        records: dict[str, bytes] = {}
        body, start = body.rstrip(b"\0"), 0
        while start < len(body):
            found = _PAX_RECORD.match(body, start)  # reads only the length and the key
            end = start + int(found[1]) if found else 0
            if not found or end < found.end() + 1 or body[end - 1 : end] != b"\n":
                raise self._damaged(offset, "an unreadable pax header")
            key = found[2]
            if key in _PAX_KEYS:
                records[key.decode()] = body[found.end() : end - 1]
            elif key.startswith(_SPARSE.encode()):
                records[_SPARSE] = b""  # one entry for all keys, so that thousands of keys cost no time for each member
            start = end
        return records

    def _number(self, header: bytes, offset: int) -> int:
        """Value of the size field: octal digits, or base 256 if the first bit is set."""
        field = header[124:136]
        if field[0] == 0x80:
            return int.from_bytes(field[1:])
        try:
            size = int(field.rstrip(b" \0") or b"0", 8)
        except ValueError:
            size = -1
        if size < 0:
            raise self._damaged(offset, "an unreadable size")
        return size

    def _pax_size(self, value: bytes, offset: int) -> int:
        if not re.fullmatch(rb"[0-9]{1,19}", value):
            raise self._damaged(offset, "an unreadable pax size")
        return int(value)

    def _verify(self) -> None:
        """Verify the headers seen since the last call; raise DataError for the first damaged one."""
        if not self.headers:
            return
        octets = np.frombuffer(b"".join(self.headers), np.uint8).reshape(-1, BLOCK)  # (n, 512)
        field = slice(148, 156)  # the checksum counts itself as eight spaces
        sums = octets.sum(1, dtype=np.int64) - octets[:, field].sum(1, dtype=np.int64) + 8 * 32
        for header, offset, total in zip(self.headers, self.offsets, sums.tolist(), strict=True):
            try:
                stored = int(header[148:156].strip(b" \0") or b"0", 8)
            except ValueError:
                stored = -1
            if stored != total and stored != _signed_sum(header):
                raise _unknown(self.path) if offset == 0 else _refusal(self.path, offset, "damaged header")
        self.headers.clear()
        self.offsets.clear()

    def _check_end(self, offset: int) -> None:
        """Check that only zeros, at least two blocks, follow. A header overwritten with zeros is not the end mark."""
        if self.announced or offset + 2 * BLOCK > len(self.data):
            raise self._damaged(offset, "truncated: the end mark is missing")
        if len(self.data) - offset > MAX_PADDING:
            what = f"{len(self.data) - offset:,} bytes after the end mark, the limit is {MAX_PADDING:,}"
            raise self._damaged(offset, f"{what}: a header is missing, or the file is not completely written")
        step = 1 << 20
        for start in range(offset, len(self.data), step):
            chunk = self.data[start : start + step]
            if chunk.count(0) != len(chunk):
                if offset == 0:  # such as the image of a disk
                    raise _unknown(self.path)
                raise self._damaged(offset, "data after the end mark: a header is missing")

    def _damaged(self, offset: int, what: str, remedy: str = "download it again") -> DataError:
        # a damaged earlier header may have caused this error; then name the first damaged header
        if self.headers:
            self._verify()
        return _refusal(self.path, offset, what, remedy)


def _refusal(path: Path, offset: int, what: str, remedy: str = "download it again") -> DataError:
    return DataError(f"{path}: {what} (byte {offset}); {remedy}")


def _unknown(path: Path) -> DataError:
    what = "damaged, or neither a zip nor an uncompressed tar"
    return _refusal(path, 0, what, "download it again; if it is another kind of archive, unpack it into a folder")


def _stored_name(header: bytes) -> str:
    """The member name in a header: a field of 100 bytes. In ustar, a prefix field of 155 bytes comes before it."""
    name = header[:100].split(b"\0", 1)[0]
    if header[345] and header[257:263] == b"ustar\0":  # GNU stores times instead of the prefix
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return _text(name)


def _text(raw: bytes) -> str:
    """Decode a name; bytes that are not UTF-8 are escaped, because the name must be valid text in a table."""
    return raw.decode("utf-8", "backslashreplace")


def _signed_sum(header: bytes) -> int:
    """Checksum over signed bytes, as some historic tars computed it."""
    octets = np.frombuffer(header, np.int8)
    return int(octets.sum(dtype=np.int64) - octets[148:156].sum(dtype=np.int64)) + 8 * 32
