"""What a downloaded file keeps of the photo's file, and the mark of the model in it."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import colorize
from colorize.photos import mark
from tests.export.page.conftest import ONE_WIDTH, encoded, picture

ORIENTATION, DATE, MAKE, DESCRIPTION, EXIF, GPS = 0x0112, 0x0132, 0x010F, 0x010E, 0x8769, 0x8825
TAKEN, SIDES = 0x9003, (0xA002, 0xA003)


def exif_with_thumbnail() -> bytes:
    """EXIF of a photo that lies on its side, with a thumbnail in the second folder."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[DATE], exif[MAKE], exif[DESCRIPTION] = 6, "1943:05:01 12:00:00", "Kodak", "a lake"
    exif.get_ifd(EXIF).update({TAKEN: "1943:05:01 11:00:00", SIDES[0]: 90, SIDES[1]: 60})
    exif.get_ifd(GPS).update({1: "N", 2: (47.0, 30.0, 0.0)})
    packed = exif.tobytes()[6:]
    thumbnail = encoded(picture(16, 16), "JPEG")
    first = int.from_bytes(packed[4:8], "little" if packed[:2] == b"II" else "big")
    order = "little" if packed[:2] == b"II" else "big"
    link = first + 2 + 12 * int.from_bytes(packed[first : first + 2], order)
    start = len(packed) + len(packed) % 2
    entries = ((0x0201, start + 30), (0x0202, len(thumbnail)))
    folder = (2).to_bytes(2, order)
    for tag, value in entries:
        folder += tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
    folder += bytes(4)
    return (
        b"Exif\0\0"
        + packed[:link]
        + start.to_bytes(4, order)
        + packed[link + 4 :].ljust(start - link - 4, b"\0")
        + folder
        + thumbnail
    )


def opened(content: bytes) -> Image.Image:
    found = Image.open(io.BytesIO(content))
    found.load()
    return found


@pytest.mark.parametrize("button", ["save-jpeg", "save-png"])
def test_exif_resolution_and_comment_of_a_jpeg_are_kept(visit, button):
    exif = exif_with_thumbnail()
    source = encoded(picture(60, 90), "JPEG", exif=exif, dpi=(300, 300), comment="Zoë in Köln".encode())
    visit.color(source, "jpg")
    found = opened(visit.download(button)[1])
    kept = found.getexif()
    assert found.size == (60, 90)
    assert ORIENTATION not in kept and kept[DATE] == "1943:05:01 12:00:00" and kept[MAKE] == "Kodak"
    assert kept.get_ifd(EXIF)[TAKEN] == "1943:05:01 11:00:00"
    assert [kept.get_ifd(EXIF)[tag] for tag in SIDES] == [60, 90]
    assert kept.get_ifd(GPS)[1] == "N"
    assert not any(kept.get_ifd(1).values())
    assert [round(value) for value in found.info["dpi"]] == [300, 300]
    comment = found.info.get("comment") or found.info.get("Comment")
    assert (comment.decode() if isinstance(comment, bytes) else comment) == "Zoë in Köln"


def test_resolution_captions_and_alpha_of_a_png_are_kept(visit):
    pixels = np.dstack([picture(40, 50), np.full((40, 50), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "a lake")
    text.add_itxt("Author", "Zoë")
    text.add_text("Software", "something else")
    visit.color(encoded(pixels, pnginfo=text, dpi=(200, 200)))
    found = opened(visit.download("save-png")[1])
    assert found.mode == "RGBA" and (np.asarray(found)[..., 3] == pixels[..., 3]).all()
    assert (found.info["Description"], found.info["Author"]) == ("a lake", "Zoë")
    assert "something else" not in found.info.values()
    assert [round(value) for value in found.info["dpi"]] == [200, 200]


def test_a_jpeg_has_no_transparency_and_the_page_says_so(visit):
    pixels = np.dstack([picture(40, 50), np.zeros((40, 50), np.uint8)])
    pixels[20:, :, 3] = 255
    visit.color(encoded(pixels))
    found = np.asarray(opened(visit.download("save-jpeg")[1]))
    assert found[:16].min() >= 250  # white
    assert "a JPEG has no transparency" in visit.page.locator("#problems").inner_text()
    assert visit.is_in_sight("#problems")  # although the button is far below


@pytest.mark.parametrize(("button", "ending"), [("save-jpeg", "jpg"), ("save-png", "png")])
def test_every_download_says_which_model_made_the_colors_and_from_which_file(
    visit, model_folder, tmp_path, button, ending
):
    source = encoded(picture(40, 50))
    visit.color(source)
    visit.set("strength", 50)
    (tmp_path / f"a.{ending}").write_bytes(visit.download(button)[1])
    found = mark.read(tmp_path / f"a.{ending}")
    loaded = colorize.load(model_folder, device="cpu")
    assert found == mark.Mark(
        source_sha256=hashlib.sha256(source).hexdigest(),
        model=loaded.name,
        model_sha256=loaded.sha256,
        temperature=0.38,
        size=None,
        strength=0.5,
        version=colorize.__version__,
    )


@ONE_WIDTH
@pytest.mark.parametrize("cut", [6, 9, 14, 20, 40, 100])
def test_damaged_exif_is_left_out_or_kept_but_never_an_error(visit, cut):
    damaged = exif_with_thumbnail()[:cut] + b"\xff" * 20
    visit.color(encoded(picture(40, 50), "JPEG", exif=damaged), "jpg")
    assert opened(visit.download("save-jpeg")[1]).size[0] in (50, 40)
