"""Whatever the bytes are, the image policy gives a square of sRGB or one of its fixed reasons."""

import io
import pickle
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from colorize.sharding import conversion, images, jpeg


def photo(width=96, height=96) -> Pillow.Image:
    """Red on the left, blue on the right, brighter downwards: shows every flip and every swapped channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Pillow.fromarray(np.stack([220 - 200 * x, 40 + 150 * y, 20 + 200 * x], -1).astype(np.uint8))


def encoded(picture: Pillow.Image, format="JPEG", **options) -> bytes:
    file = io.BytesIO()
    if format == "JPEG" and picture.mode != "CMYK":
        options = {"quality": 95, "subsampling": 0} | options
    picture.save(file, format, **options)
    return file.getvalue()


def reason(data, **options) -> str:
    with pytest.raises(images.Reject) as caught:
        images.decode(data, 64, **options)
    assert caught.value.reason in images.REASONS
    return caught.value.reason


def difference(rgb: np.ndarray, expected: Pillow.Image) -> float:
    """Mean absolute difference in levels to a picture of the same size."""
    return np.abs(rgb.astype(float) - np.asarray(expected.convert("RGB"), dtype=float)).mean()


def oriented(value: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = value
    return exif


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc + struct.pack(">I", 50) + b"IDAT" + bytes(54)


def test_jpeg_of_the_right_size_passes_untouched():
    data = encoded(photo(64, 64))
    expected = np.asarray(Pillow.open(io.BytesIO(data)))
    image = images.decode(data, 64)
    assert image.rgb.shape == (64, 64, 3) and image.rgb.dtype == np.uint8
    assert np.array_equal(image.rgb, expected)
    assert (image.is_gray, image.note) == (False, None)


@pytest.mark.parametrize("size", [(256, 256), (300, 200), (129, 500), (70, 65), (64, 100), (2000, 1500)])
def test_larger_jpegs_become_the_central_square(size):
    picture = photo(*size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = picture.crop((left, top, left + side, top + side)).resize((64, 64), Pillow.Resampling.BOX)
    assert difference(images.decode(encoded(picture), 64).rgb, expected) < 2


@pytest.mark.parametrize(
    "size", [(64, 64), (128, 128), (512, 512), (1024, 1024), (255, 255), (192, 192), (300, 200), (48, 48)]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_an_image_can_be_put_into_its_place(size, format):
    data, places = encoded(photo(*size), format), np.full((3, 64, 64, 3), 7, np.uint8)
    image = images.decode(data, 64, out=places[1])
    assert np.shares_memory(image.rgb, places)
    assert np.array_equal(places[1], images.decode(data, 64).rgb)
    assert (places[[0, 2]] == 7).all()


def test_a_header_is_not_taken_for_the_one_before_that_begins_alike():
    small, large = (encoded(photo(*size)) for size in ((64, 64), (65, 64)))
    for data in (small, small, large, small[:-9], large, small):
        header = jpeg.read_header(data)
        assert (header.width, header.height) == ((65, 64) if data is large else (64, 64))
    assert jpeg.read_header(small[: small.index(b"\xff\xc0") + 9]) is None
    assert jpeg.read_header(b"GIF8" + small[4:]) is None


def test_shrinking_averages_instead_of_picking_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    for format in ("JPEG", "PNG"):
        spread = images.decode(encoded(Pillow.fromarray(noise), format), 64).rgb.std()
        assert spread < 0.65 * noise.std()  # picking would keep all of it


def test_careful_path_agrees_with_the_fast_one():
    picture = photo(256, 256)
    fast = images.decode(encoded(picture), 64)
    careful = images.decode(encoded(picture, "PNG"), 64)
    assert np.abs(fast.rgb.astype(int) - careful.rgb).max() <= 4


def test_small_images_are_enlarged_and_tiny_ones_rejected():
    assert difference(images.decode(encoded(photo(20, 20)), 64).rgb, photo(64, 64)) < 8
    assert reason(encoded(photo(15, 200))) == images.TOO_SMALL
    assert reason(encoded(photo(200, 15), "PNG")) == images.TOO_SMALL
    assert reason(encoded(photo(1, 1))) == images.TOO_SMALL


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "PPM"])
def test_other_formats_are_read(format):
    options = {"lossless": True} if format == "WEBP" else {}
    assert difference(images.decode(encoded(photo(64, 64), format, **options), 64).rgb, photo(64, 64)) == 0


def test_bytes_decide_and_views_are_welcome():
    data = encoded(photo())
    assert np.array_equal(images.decode(memoryview(data), 64).rgb, images.decode(data, 64).rgb)
    data = encoded(photo(), "PNG")
    assert np.array_equal(images.decode(memoryview(data), 64).rgb, images.decode(data, 64).rgb)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation_is_applied(format, value):
    image = images.decode(encoded(photo(), format, exif=oriented(value)), 96)
    turn = conversion.UPRIGHT.get(value)
    assert difference(image.rgb, photo().transpose(turn) if turn is not None else photo()) < 2
    assert image.note == (
        None if value == 1 or format == "TIFF" else "orientation applied"
    )  # Pillow turns TIFFs itself


def test_orientation_six_puts_the_left_edge_on_top():
    """Known beforehand: a camera held upright stores the photo lying on its left side."""
    rgb = images.decode(encoded(photo(), exif=oriented(6)), 64).rgb.astype(int)
    assert rgb[0, :, 0].mean() > 200 and rgb[-1, :, 2].mean() > 200


def test_broken_exif_does_not_cost_the_image():
    assert images.decode(encoded(photo(), exif=b"Exif\0\0garbage"), 64).note is None


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb(format):
    image = images.decode(encoded(photo(64, 64).convert("CMYK"), format), 64)
    assert difference(image.rgb, photo(64, 64)) < 4
    assert image.note == "cmyk converted"


def test_palette_becomes_srgb():
    image = images.decode(encoded(photo(64, 64).quantize(256), "PNG"), 64)
    assert difference(image.rgb, photo(64, 64)) < 8
    assert image.note == "palette converted"


def test_foreign_profiles_are_converted_and_srgb_left_alone():
    """A profile with red and blue exchanged stands for any other: its effect is seen at a glance."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(srgb)
    tags = {srgb[at : at + 4]: at for at in range(132, 132 + 12 * srgb[131], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    swapped[red + 4 : red + 12], swapped[blue + 4 : blue + 12] = srgb[blue + 4 : blue + 12], srgb[red + 4 : red + 12]
    for format in ("JPEG", "PNG"):
        assert images.decode(encoded(photo(), format, icc_profile=srgb), 64).note is None
        image = images.decode(encoded(photo(), format, icc_profile=bytes(swapped)), 64)
        assert image.note == "color profile converted"
        assert difference(image.rgb[:, :, ::-1], photo(64, 64)) < 8


def test_profile_in_several_segments_is_put_together():
    profile = bytes(range(256)) * 400  # over the 64 KB of one segment
    assert jpeg.read_header(encoded(photo(), icc_profile=profile)).metadata.profile == profile


def test_unusable_profile_does_not_cost_the_image():
    for format in ("JPEG", "PNG"):
        assert difference(images.decode(encoded(photo(64, 64), format, icc_profile=b"junk"), 64).rgb, photo(64, 64)) < 2


def test_alpha_is_laid_on_white():
    picture = photo(64, 64).convert("RGBA")
    picture.putalpha(Pillow.new("L", (64, 64), 0))
    picture.putpixel((0, 0), (255, 255, 255, 1))  # zero everywhere would be no alpha
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        image = images.decode(encoded(picture, format, **options), 64)
        assert (image.rgb == 255).all() and image.note == "alpha blended onto white"


def test_transparent_palette_color_is_laid_on_white():
    picture = Pillow.new("P", (64, 64), 3)
    picture.putpalette([200, 0, 0] * 3 + [255] * 3 + [200, 0, 0] * 252)
    picture.putpixel((0, 0), 2)
    rgb = images.decode(encoded(picture, "PNG", transparency=3), 64).rgb
    assert rgb[0, 0].tolist() == [200, 0, 0] and (rgb[1:] == 255).all()


def photoshops(bitmap: bytes) -> bytes:
    """Pillow's BMP of 32 bits with a header of 56 bytes, whose last mask makes the fourth byte an alpha channel."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = bitmap[:2] + struct.pack("<IIII", len(bitmap) + 16, 0, 70, 56) + bitmap[18:30] + struct.pack("<I", 3)
    return head + bitmap[34:54] + masks + bitmap[54:]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_alpha_that_is_zero_everywhere_is_no_alpha(mode, format):
    if (mode, format) not in ZERO_ALPHA:
        return
    picture, options = photo(64, 64).convert("LA" if mode == "LA" else "RGBA"), ZERO_ALPHA[mode, format]
    expected = picture.convert("RGB")
    if mode == "P":
        picture = expected = expected.quantize(1)
    else:
        picture.putalpha(0)
    data = encoded(picture, format, **options)
    if format == "BMP":
        data = photoshops(data)
    image = images.decode(data, 64)
    assert difference(image.rgb, expected) < 1
    assert image.note.endswith("empty alpha ignored")


ZERO_ALPHA = {
    ("RGBA", "PNG"): {},
    ("LA", "PNG"): {},
    ("P", "PNG"): {"transparency": 0},
    ("P", "GIF"): {"transparency": 0},
    ("RGBA", "WEBP"): {"lossless": True, "exact": True},
    ("RGBA", "TIFF"): {},
    ("LA", "TIFF"): {},
    ("RGBA", "BMP"): {},
}


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_images_without_color_are_known_and_dropped_on_demand(mode, format):
    data = encoded(photo().convert("L").convert(mode if mode != "1" or format == "PNG" else "L"), format)
    image = images.decode(data, 64)
    assert image.is_gray and np.ptp(image.rgb, axis=2).max() == 0
    assert reason(data, gray="drop") == images.GRAYSCALE


def test_one_colored_spot_makes_a_color_image():
    picture = photo(64, 64).convert("L").convert("RGB")
    picture.putpixel((30, 30), (255, 0, 0))
    assert not images.decode(encoded(picture, "PNG"), 64, gray="drop").is_gray


def test_empty_and_foreign_files():
    assert reason(b"") == images.EMPTY
    for data in (b"hello", b"<!DOCTYPE html><html></html>", bytes(1000), b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        assert reason(data) == images.NOT_AN_IMAGE


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": oriented(6)}], ids=["fast", "progressive", "careful"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lacks_a_single_byte_of_its_pixels_is_truncated(mode, options):
    data = encoded(photo(200, 200).convert(mode), **options)
    for length in (len(data) - 1, len(data) - 2):  # only the end mark is missing
        assert images.decode(data[:length], 64).note.endswith(images.MENDED)
    for length in (len(data) - 3, len(data) - 40):
        assert reason(data[:length]) == images.TRUNCATED
    for length in (len(data) * 3 // 4, len(data) // 2, 150):  # a cut inside a table reads as damage
        assert reason(data[:length]) in (images.TRUNCATED, images.DAMAGED)


@pytest.mark.parametrize("options", [{}, {"exif": oriented(6)}], ids=["fast", "careful"])
def test_damage_inside_a_jpeg_is_noticed(options):
    """Pillow shows such a photo with stripes and says nothing."""
    data = bytearray(encoded(photo(200, 200), **options))
    middle = len(data) - 1500
    data[middle : middle + 40] = bytes(range(60, 100))
    assert reason(bytes(data)) in (images.DAMAGED, images.TRUNCATED)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_other_truncated_files_are_noticed(format):
    noise = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format)
    for length in (len(data) - 64, len(data) // 2):
        assert reason(data[:length]) == images.TRUNCATED


def test_whatever_is_flipped_ends_in_an_image_or_a_reason():
    rng = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"):
        whole = np.frombuffer(encoded(photo(40, 40), format), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(0, min(len(whole), 600), 4)] = rng.integers(0, 256, 4)
            try:
                images.decode(damaged.tobytes(), 32)
            except images.Reject as reject:
                assert reject.reason in images.REASONS


def test_huge_claims_are_refused_before_anything_is_allocated():
    jpeg_data = bytearray(encoded(photo()))
    frame = jpeg_data.index(b"\xff\xc0")
    jpeg_data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    bitmap = bytearray(encoded(photo(), "BMP"))
    bitmap[18:26] = struct.pack("<ii", 30000, 30000)
    tracemalloc.start()
    for data in (png_header(30000, 30000), png_header(2**31 - 1, 2**31 - 1), bytes(jpeg_data), bytes(bitmap)):
        assert reason(data) == images.TOO_LARGE
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_huge_webp_is_refused_before_pillow_makes_its_canvas(monkeypatch):
    webp = encoded(photo().convert("RGBA"), "WEBP", exif=oriented(1))
    monkeypatch.setattr(images.Pillow, "open", lambda *_, **__: pytest.fail("opened"))
    assert reason(webp[:24] + b"\xff\x3f\x00\xff\x3f\x00" + webp[30:]) == images.TOO_LARGE


def test_limit_of_pixels_is_exact():
    assert reason(png_header(images.MAX_PIXELS // 1000 + 1, 1000)) == images.TOO_LARGE
    assert reason(png_header(images.MAX_PIXELS // 1000, 1000)) != images.TOO_LARGE


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_are_rejected(format):
    frames = [photo(), photo().rotate(90)]
    assert reason(encoded(frames[0], format, save_all=True, append_images=frames[1:])) == images.ANIMATED


def test_photo_with_a_preview_behind_it_is_no_animation():
    data = encoded(photo(64, 64), "MPO", save_all=True, append_images=[photo(32, 32)], exif=oriented(3))
    assert difference(images.decode(data, 64).rgb, photo(64, 64).rotate(180)) < 5


def test_depths_that_pillow_saturates_or_cannot_read_are_rejected():
    for picture in (Pillow.new("F", (64, 64), 0.5), Pillow.new("I", (64, 64), 1 << 20)):
        assert reason(encoded(picture, "TIFF")) == images.DEEP
    twelve = bytearray(encoded(photo()))
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    assert reason(bytes(twelve)) == images.DEEP


def test_open_rgb_gives_the_whole_photo_upright():
    whole = images.open_rgb(encoded(photo(300, 200), exif=oriented(6)))
    assert (whole.mode, whole.size) == ("RGB", (200, 300))
    assert images.open_rgb(encoded(photo(300, 200).convert("L"))).mode == "RGB"
    with pytest.raises(images.Reject, match=images.NOT_AN_IMAGE):
        images.open_rgb(b"hello")


def test_rejections_travel_between_processes():
    copy = pickle.loads(pickle.dumps(images.Reject(images.EMPTY)))
    assert copy.reason == images.EMPTY
