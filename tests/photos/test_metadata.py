"""What a result takes over from its photo: EXIF, resolution, comment, XMP, quality; damage is dropped and said."""

import io
import random
import struct
import time

import numpy as np
import pytest
import simplejpeg
from PIL import ExifTags, PngImagePlugin, TiffImagePlugin
from PIL import Image as Pillow

from colorize.photos import exif, lossless, mark, metadata, xmp
from colorize.photos import photo as photos
from tests.fuzz import mutations, samples
from tests.helpers.odd_images import encoded, photo

NOTE = b"NIKON" + bytes(range(200))  # of a camera
THUMBNAIL = encoded("JPEG", photo(16, 16))


def block(order: str = "<", orientation: int = 6, thumbnail: bytes = THUMBNAIL) -> bytes:
    """EXIF as a camera writes it: IFD0, details with a camera's note, position, IFD1 with a thumbnail at the end."""
    made = exif.Block(exif.EMPTY if order == "<" else b"MM\0*\0\0\0\x08" + bytes(6))
    made.put(274, exif.SHORT, [orientation])
    made.put(256, exif.LONG, [6000])
    made.put(270, exif.ASCII, b"Harbor, seen from the church tower\0")
    made.put(315, exif.ASCII, b"A. Author\0")
    made.put(282, exif.RATIONAL, [600, 1])
    made.put(283, exif.RATIONAL, [300, 1])
    made.put(296, exif.SHORT, [2])
    number = {"<": "little", ">": "big"}[order]
    index = made.put_directory(0, {1: (exif.ASCII, b"R03\0")}).field
    details = {0x9003: (exif.ASCII, b"1943:07:14 10:00:00\0"), 0x927C: (exif.UNDEFINED, NOTE)}
    details |= {40961: (exif.SHORT, b"\xff\xff"), 40962: (exif.LONG, (6000).to_bytes(4, number))}
    details |= {40963: (exif.SHORT, (4000).to_bytes(2, number)), 40965: (exif.LONG, index)}
    made.put_directory(34665, details)
    degrees = struct.pack(order + "6I", 48, 1, 8, 1, 0, 1)
    made.put_directory(34853, {1: (exif.ASCII, b"N\0"), 2: (exif.RATIONAL, degrees)})
    content = bytearray(made.tobytes())
    if not thumbnail:
        return bytes(content)
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    struct.pack_into(order + "I", content, start + 2 + 12 * count, len(content))
    entries = [
        (259, 3, 1, 6 << (16 if order == ">" else 0)),
        (513, 4, 1, len(content) + 42),
        (514, 4, 1, len(thumbnail)),
    ]
    content += struct.pack(order + "H", 3) + b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return bytes(content + bytes(4) + thumbnail)


def named(content: bytes) -> bytes:
    return b"Exif\0\0" + content


def kept(data: bytes) -> metadata.Kept:
    return photos.read(data).kept


def parsed(content: bytes) -> Pillow.Exif:
    found = Pillow.Exif()
    found.load(named(content))
    return found


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_is_kept_without_orientation_and_thumbnail(format, order):
    found = parsed(kept(encoded(format, photo(60, 40), exif=named(block(order)))).exif)
    assert found[ExifTags.Base.ImageDescription] == "Harbor, seen from the church tower"
    assert found[ExifTags.Base.Artist] == "A. Author"
    assert ExifTags.Base.Orientation not in found and ExifTags.Base.ImageWidth not in found
    assert not found.get_ifd(ExifTags.IFD.IFD1)
    details = found.get_ifd(ExifTags.IFD.Exif)
    assert details[ExifTags.Base.DateTimeOriginal] == "1943:07:14 10:00:00"
    assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (40, 60)
    assert details[ExifTags.Base.ColorSpace] == 1
    assert found.get_ifd(ExifTags.IFD.Interop)[1] == "R98"
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48, 8, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_note_of_a_camera_keeps_its_position(order):
    content = block(order)
    cleaned = exif.clean(content, 60, 40, False)
    assert cleaned.index(NOTE) == content.index(NOTE)
    assert THUMBNAIL in content and THUMBNAIL[:30] not in cleaned and len(cleaned) < len(content) - len(THUMBNAIL)


def test_the_bytes_of_a_thumbnail_in_the_middle_are_overwritten():
    content = block() + b"the end"
    cleaned = exif.clean(content, 60, 40, False)
    assert cleaned.endswith(b"the end") and THUMBNAIL[:30] not in cleaned


def test_the_resolutions_are_exchanged_with_the_sides():
    content = block()
    assert exif.resolution(exif.clean(content, 60, 40, False)) == (600, 300)
    assert exif.resolution(exif.clean(content, 60, 40, True)) == (300, 600)
    assert kept(encoded("JPEG", exif=named(block(orientation=1)), dpi=(200, 100))).dpi == (200, 100)
    assert kept(encoded("JPEG", exif=named(block()), dpi=(200, 100))).dpi == (100, 200)
    assert kept(encoded("WEBP", exif=named(block()))).dpi == (300, 600)  # only EXIF has it
    assert kept(encoded("JPEG", exif=named(block()))).dpi == (300, 600)


def test_a_resolution_is_added_to_exif_or_replaced():
    for content in (b"", exif.clean(block(), 60, 40, False), exif.clean(block(">"), 60, 40, False)):
        changed = exif.with_resolution(content, (299.5, 72))
        assert exif.resolution(changed) == (299.5, 72) and changed[: len(content)].count(NOTE) == content.count(NOTE)
    made = exif.Block()
    made.put(282, exif.RATIONAL, [100, 1])
    made.put(283, exif.RATIONAL, [50, 1])
    made.put(296, exif.SHORT, [3])  # per centimeter
    assert exif.resolution(made.tobytes()) == (254, 127)


@pytest.mark.parametrize("resolution", [[2**32 - 1, 1], [1, 1], [0, 0], [0, 1], [300, 0], [70_000, 1]])
def test_an_impossible_resolution_is_none(resolution):
    made = exif.Block()
    made.put(282, exif.RATIONAL, resolution)
    made.put(283, exif.RATIONAL, resolution)
    for format in ("JPEG", "WEBP"):
        assert kept(encoded(format, exif=named(made.tobytes()))).dpi is None
    made.put(282, exif.RATIONAL, [300, 1])
    made.put(283, exif.RATIONAL, [300, 1])
    made.put(296, exif.SHORT, [1])  # no unit
    assert kept(encoded("WEBP", exif=named(made.tobytes()))).dpi is None


def test_a_pointer_to_no_directory_is_dropped():
    made = exif.Block(exif.clean(block(), 60, 40, False))
    made.put(34665, exif.LONG, [60_000])
    broken = made.tobytes()
    assert 34665 not in exif.Block(exif.clean(broken, 60, 40, False)).entries
    found = exif.Block(kept(lossless.encode_tiff(np.asarray(photo(60, 40)), None, exif.Block(broken))).exif)
    assert 34665 not in found.entries and 34853 in found.entries


def test_values_and_directories_have_even_positions():
    made = exif.Block()
    for number in range(5):
        made.put(270 + number, exif.ASCII, b"odd\0!" + bytes(2 * number))
    content = made.tobytes()
    assert int.from_bytes(content[4:8], "little") % 2 == 0
    assert all(int.from_bytes(entry.field, "little") % 2 == 0 for entry in exif.Block(content).entries.values())


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_a_tiff_is_copied(order):
    made = exif.Block(exif.clean(block(order), 60, 40, False))
    found = kept(lossless.encode_tiff(np.asarray(photo(60, 40)), None, made))
    content = parsed(found.exif)
    assert content[270] == "Harbor, seen from the church tower" and found.dpi == (600, 300)
    assert not {256, 257, 258, 273, 279} & set(content) and NOTE in found.exif
    details = content.get_ifd(ExifTags.IFD.Exif)
    assert details[ExifTags.Base.DateTimeOriginal] == "1943:07:14 10:00:00"
    assert content.get_ifd(ExifTags.IFD.Interop)[1] == "R98"
    assert content.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48, 8, 0)


def test_texts_of_a_tiff_are_copied_byte_for_byte():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[315] = exif.BYTE
    tags[315] = "Zoë".encode()
    data = encoded("TIFF", tiffinfo=tags)
    at = data.index(struct.pack("<HHI", 315, exif.BYTE, 4))
    data = data[: at + 2] + struct.pack("<H", exif.ASCII) + data[at + 4 :]
    assert exif.Block(kept(data).exif).entries[315].field == "Zoë".encode()


def test_the_exif_is_that_of_the_page_that_is_used():
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for picture, kind, caption in ((photo(16, 16), 1, "a thumbnail"), (photo(), 0, "the photo")):
            picture.save(writer, "TIFF", tiffinfo={254: kind, 270: caption})
            writer.newFrame()
    assert parsed(kept(file.getvalue()).exif)[270] == "the photo"


def test_too_many_entries_of_a_tiff_are_dropped_and_said():
    long = {tag: "x" * 30_000 for tag in (270, 305, 315)}
    found = photos.read(encoded("TIFF", tiffinfo=long))
    assert found.kept.exif == b"" and found.note == metadata.EXIF_DROPPED


@pytest.mark.parametrize("short", samples.SHORT_SEGMENTS)
def test_a_segment_that_is_too_short_for_pillow_does_not_cost_the_others(short):
    data = encoded("JPEG", photo(16, 16), exif=named(block()), comment=b"Harbor")
    odd = data[:2] + samples.segment(*short) + data[2:]
    found = photos.read(odd)
    assert found.kept == photos.read(data).kept and found.kept.exif and found.note == "orientation applied"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded("JPEG", dpi=(300, 300)), (300, 300)),
        (encoded("JPEG"), None),
        (encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), None),
        (encoded("PNG", dpi=(300, 240)), (300, 240)),
        (encoded("TIFF", resolution_unit="cm", x_resolution=100, y_resolution=100), (254, 254)),
        (encoded("TIFF"), None),
        (encoded("BMP", dpi=(300, 300)), (300, 300)),
    ],
)
def test_the_resolution_is_that_of_the_file(data, expected):
    found = kept(data).dpi
    assert found == (expected and pytest.approx(expected, abs=0.02))


def test_comments():
    assert kept(encoded("JPEG", comment="Größe".encode())).comment == "Größe"
    assert kept(encoded("JPEG", comment=b"Gr\xf6\xdfe\0\x07")).comment == "Größe"
    assert kept(encoded("GIF", comment=b"a comment")).comment == "a comment"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Comment", "日本")
    assert kept(encoded("JPEG2000", comment=b"an encoder")).comment == ""
    assert kept(encoded("JPEG", comment=mark.COMMENT.encode())).comment == ""  # of an earlier result
    assert kept(encoded("PNG", pnginfo=text)).comment == "日本"
    long = photos.read(encoded("JPEG", comment=b"long " * 2000))
    assert len(long.kept.comment) == xmp.MAX_LENGTH and long.note == metadata.SHORTENED


XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:ps="http://ns.adobe.com/photoshop/1.0/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 ps:City="Bergen" tiff:Orientation="1">
<dc:description><rdf:Alt><rdf:li xml:lang="de">Hafen</rdf:li><rdf:li xml:lang="x-default">Harbor &amp; tower</rdf:li>
</rdf:Alt></dc:description>
<dc:creator><rdf:Seq><rdf:li>A. Author</rdf:li><rdf:li>B. Author</rdf:li></rdf:Seq></dc:creator>
<xmpMM:History>long</xmpMM:History></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_properties_of_xmp_are_kept(format):
    options = {"xmp": XMP.encode()}
    if format == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP)
    elif format == "TIFF":
        options = {"tiffinfo": {700: XMP.encode()}}
    found = kept(encoded(format, **options)).xmp
    assert found == {
        "photoshop:City": ("Bergen",),
        "dc:description": ("Harbor & tower",),
        "dc:creator": ("A. Author", "B. Author"),
    }


def test_properties_survive_being_written_and_read():
    properties = {key: (f"<{key}> & é 日本",) for key in xmp.DESCRIPTIVE} | {
        "dc:creator": ("a", "b"),
        "dc:subject": ("c", "d"),
    }
    assert xmp.parse(xmp.write(properties)) == properties
    assert xmp.parse(xmp.write(properties).decode().encode("utf-16")) == properties


def test_texts_of_iptc_and_png_become_properties():
    fields = b"".join(
        struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text
        for number, text in ((120, "Häfen".encode()), (80, b"A. Author"), (25, b"one"), (25, b"two"), (200, b"other"))
    )
    resource = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(fields)) + fields
    data = encoded("JPEG")
    data = data[:2] + struct.pack(">HH", 0xFFED, len(resource) + 2) + resource + data[2:]
    expected = {"dc:description": ("Häfen",), "dc:creator": ("A. Author",), "dc:subject": ("one", "two")}
    assert kept(data).xmp == expected
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "Häfen")
    text.add_text("Author", "A. Author")
    assert kept(encoded("PNG", pnginfo=text)).xmp == {key: expected[key] for key in ("dc:creator", "dc:description")}


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", ["Gray", "444", "420", "422"])
def test_quality_and_subsampling_of_a_jpeg(quality, subsampling):
    pixels = np.asarray(photo())
    data = simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)
    if subsampling == "Gray":
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels[..., :1]), quality, "GRAY", "Gray")
    expected = {"Gray": None, "444": "4:4:4"}.get(subsampling, "4:2:0")
    assert (kept(data).quality, kept(data).subsampling) == (quality, expected)


def test_whether_a_webp_is_lossless():
    profile = bytes(100_000)
    assert kept(encoded("WEBP", lossless=True, icc_profile=profile)).is_lossless
    assert not kept(encoded("WEBP", quality=80, icc_profile=profile)).is_lossless


# --- damaged and hostile metadata ------------------------------------------------------------------------------------

DAMAGED = {
    "no EXIF": b"Exif\0\0hello world",
    "nowhere": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "cut": named(block()[:60]),
    "too long": named(block(orientation=1, thumbnail=b"") + bytes(70_000)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_exif_is_dropped_and_said(kind):
    found = photos.read(encoded("PNG", exif=DAMAGED[kind]))
    assert found.kept.exif == b"" and found.note == metadata.EXIF_DROPPED


@pytest.mark.parametrize("entity", ['<!DOCTYPE x [<!ENTITY a "b">]>', "<broken"])
def test_damaged_xmp_is_dropped_and_said(entity):
    found = photos.read(encoded("JPEG", xmp=XMP.replace("<x:xmpmeta", entity + "<x:xmpmeta", 1).encode()))
    assert found.kept.xmp == {} and found.note == metadata.XMP_DROPPED


def test_a_packet_of_more_than_a_megabyte_is_dropped_and_said():
    found = photos.read(encoded("WEBP", xmp=XMP.encode() + b" " * xmp.MAX_BYTES))
    assert found.kept.xmp == {} and found.note == metadata.XMP_DROPPED


def test_a_packet_of_many_elements_and_levels_is_read_soon():
    started = time.monotonic()
    for text in ("<a>" * 100_000 + "</a>" * 100_000, "<a/>" * 200_000):
        found = photos.read(encoded("WEBP", xmp=XMP.replace("long", text).encode()))
        assert found.kept.xmp == {} or "dc:creator" in found.kept.xmp
    assert time.monotonic() - started < 5


def test_long_properties_are_shortened_or_dropped_so_that_every_result_can_hold_them():
    long = XMP.replace("A. Author", "&lt;" * 30_000).replace("Harbor", "&lt;" * 30_000)
    found = photos.read(encoded("WEBP", xmp=long.encode()))
    assert len(xmp.write(found.kept.xmp)) < 50_000
    assert found.note == metadata.SHORTENED and "photoshop:City" in found.kept.xmp


def test_whatever_the_exif_is_the_photo_is_read():
    rng = random.Random(0)
    plain, whole = encoded("JPEG"), [block("<"), block(">"), block(thumbnail=b"")]
    expected = photos.read(plain).seen()
    for _ in range(300):
        content = named(mutations.raw(mutations.raw(rng.choice(whole), rng), rng))
        data = plain[:2] + struct.pack(">HH", 0xFFE1, len(content) + 2) + content + plain[2:]
        found = photos.read(data)
        assert sorted(found.seen().shape) == sorted(expected.shape) and len(found.kept.exif) <= exif.MAX_BYTES
        assert found.kept.exif == b"" or 274 not in exif.Block(found.kept.exif).entries


def test_pillow_and_its_warnings_stay_out_of_the_way():
    with Pillow.open(io.BytesIO(encoded("JPEG", exif=named(block())))) as picture:
        assert metadata.keep(picture, b"")[1] == []
