"""Joining L and ab: the fast form against the plain formula, for every kind of photo, in strips and threads."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from skimage import data as skimage_data

from colorize.color import cielab
from colorize.photos import join, kernels, levels


def lightness_of_16_bits(gray: np.ndarray) -> torch.Tensor:
    """(H, W) uint16 -> (H, W) L, in float64."""
    level = torch.from_numpy(gray / 65535)
    linear = torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    return 116 * torch.where(linear > cielab.KNEE, linear ** (1 / 3), cielab.SLOPE * linear + 16 / 116) - 16


def plain(pixels: np.ndarray, ab: torch.Tensor) -> tuple[np.ndarray, float]:
    """The plain formula: (H, W, 3) levels of 8 bits, not rounded for photos of 16 bits, and the fitted fraction."""
    height, width = pixels.shape[:2]
    if pixels.dtype == np.uint16:
        lightness = lightness_of_16_bits(pixels).float()
    else:
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        lightness = cielab.rgb_to_lab(torch.from_numpy(rgb.copy()).movedim(-1, 0))[0]
    rows, columns = min(ab.shape[1], height), width
    wide = torch.nn.functional.interpolate(ab[None], (rows, columns), mode="bilinear", antialias=True)
    large = torch.nn.functional.interpolate(wide, (height, width), mode="bilinear")[0]
    lab, is_fitted = cielab.fit_to_gamut(torch.cat([lightness[None], large]))
    if pixels.dtype == np.uint8:
        return cielab.lab_to_rgb(lab).movedim(0, -1).numpy(), float(is_fitted.float().mean())
    linear = cielab.lab_to_linear_rgb(lab).clamp(0, 1).double()
    srgb = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (srgb * 65535).movedim(0, -1).numpy(), float(is_fitted.float().mean())


def smooth_ab(height: int, width: int, strength: float, seed: int = 0) -> torch.Tensor:
    """(2, height, width) ab that changes slowly; its standard deviation is `strength`."""
    coarse = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(seed)) * strength
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]


def noise(shape: tuple[int, ...], dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def astronaut() -> np.ndarray:
    return skimage_data.astronaut()[:300, :401]


def gray_of(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


PHOTOS = {
    "noise": noise((61, 90)),
    "noise in color": noise((61, 90, 3)),
    "noise of 16 bits": noise((61, 90), np.uint16),
    "every level": np.repeat(np.arange(256, dtype=np.uint8)[None], 40, axis=0),
    "every dark level of 16 bits": np.repeat(np.arange(0, 4096, 4, dtype=np.uint16)[None], 30, axis=0),
    "black and white": (noise((50, 70)) > 127) * np.uint8(255),
    "a photograph": astronaut(),
    "a gray photograph": gray_of(astronaut()),
    "one column": noise((200, 1)),
    "one row in color": noise((1, 200, 3)),
}


@pytest.mark.parametrize("strength", [0, 5, 30, 120])
@pytest.mark.parametrize("name", PHOTOS)
def test_the_result_is_within_one_level_of_the_plain_formula(name, strength, monkeypatch):
    if strength == 120:  # a step of the bisection is then up to two levels, and rounding can decide a step
        monkeypatch.setattr(cielab, "_BISECTIONS", 18)
        monkeypatch.setattr(levels, "_BISECTIONS", 18)
    pixels, ab = PHOTOS[name], smooth_ab(24, 36, strength).clamp(-110, 110)  # the range of the bins
    expected, fitted = plain(pixels, ab)
    found = join.join(pixels, ab)
    assert found.planes is None
    assert found.rgb.dtype == pixels.dtype
    one_level = 257 if pixels.dtype == np.uint16 else 1
    assert np.abs(found.rgb.astype(float) - expected).max() <= one_level
    assert found.fitted_fraction == pytest.approx(fitted, abs=max(1e-3, 2 / expected[..., 0].size))


def test_the_colors_of_all_bins_with_all_levels_are_within_one_level():
    """A photo of the 256 levels for each of 313 colors: the whole range of ab, in the gamut and outside."""
    from colorize.color.gamut import GAMUT_AB

    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None], len(GAMUT_AB), axis=0)
    ab = torch.from_numpy(GAMUT_AB).T[:, :, None].repeat(1, 1, 256).contiguous()
    expected, fitted = plain(pixels, ab)
    found = join.join(pixels, ab)
    assert np.abs(found.rgb.astype(int) - expected).max() <= 1
    assert found.fitted_fraction == pytest.approx(fitted, abs=1e-3)


def test_the_strongest_colors_are_one_step_of_the_bisection_away_at_most():
    """Where rounding decides a step, at a few pixels, a channel is up to two levels off per 110 units of ab."""
    for pixels in (PHOTOS["a photograph"], PHOTOS["a gray photograph"]):
        for largest in (110, 220):
            ab = smooth_ab(24, 36, 120).clamp(-largest, largest)
            difference = np.abs(join.join(pixels, ab).rgb.astype(int) - plain(pixels, ab)[0])
            assert difference.max() <= largest / 110 * 2
            assert (difference > 1).mean() < 1e-3


def test_gray_stored_as_rgb_is_gray():
    ab = smooth_ab(24, 36, 30)
    gray = PHOTOS["a gray photograph"]
    assert np.array_equal(join.join(np.repeat(gray[..., None], 3, axis=2), ab).rgb, join.join(gray, ab).rgb)


def test_absurd_colors_keep_their_hue():
    """A regression may predict any finite number."""
    ab = torch.tensor([3e30, 1.5e30])[:, None, None].expand(2, 8, 8)
    for pixels in (PHOTOS["noise"], PHOTOS["noise of 16 bits"]):
        expected = join.join(pixels, ab / 3e28)
        found = join.join(pixels, ab)
        assert found.fitted_fraction > 0.99
        assert np.abs(found.rgb.astype(int) - expected.rgb).max() <= 3 * (257 if pixels.dtype == np.uint16 else 1)


def test_without_color_a_gray_photo_comes_back_unchanged():
    ab = torch.zeros(2, 8, 8)
    for pixels in (PHOTOS["every level"], PHOTOS["every dark level of 16 bits"]):
        assert np.abs(join.join(pixels, ab).rgb.astype(int) - pixels[..., None]).max() <= (pixels.dtype == np.uint16)
    planes = join.join(PHOTOS["noise"], ab, "yuv420").planes
    assert np.array_equal(planes.Y, PHOTOS["noise"])
    assert (planes.Cb == 128).all()
    assert (planes.Cr == 128).all()


@pytest.mark.parametrize("layout", ["rgb", "yuv420"])
@pytest.mark.parametrize("name", ["noise", "noise in color", "noise of 16 bits", "a photograph"])
def test_bands_and_threads_do_not_change_a_byte(name, layout, monkeypatch):
    pixels, ab = PHOTOS[name], smooth_ab(24, 36, 60)
    whole = join.join(pixels, ab, layout, threads=1)
    monkeypatch.setattr(join, "_BAND", 17 * pixels.shape[1])
    for threads in (1, 3):
        again = join.join(pixels, ab, layout, threads=threads)
        assert again.fitted_fraction == whole.fitted_fraction
        for one, other in zip(again.planes or [again.rgb], whole.planes or [whole.rgb], strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("layout", ["rgb", "yuv420"])
def test_progress_counts_every_row_in_the_calling_thread(layout, monkeypatch):
    monkeypatch.setattr(join, "_BAND", 80)
    rows = []
    join.join(noise((51, 20)), smooth_ab(8, 8, 10), layout, rows.append)
    assert sum(rows) == 51
    assert len(rows) > 2


def test_colors_are_enlarged_as_by_torch():
    ab = torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(0))
    slopes = join._slopes(ab, 37, 50, levels.Scale(1, 1.0, 0.0, 1.0))
    out = np.empty((37, 2, 50), np.float32)
    for row, values in enumerate(out):
        kernels._interpolate(slopes, row, values)
    expected = torch.nn.functional.interpolate(ab[None], (37, 50), mode="bilinear")[0]
    expected *= torch.tensor([1 / 500, -1 / 200])[:, None, None]
    torch.testing.assert_close(torch.from_numpy(out).movedim(1, 0), expected, atol=1e-6, rtol=1e-5)


# --- planes ----------------------------------------------------------------------------------------------------------


def decoded(planes: join.Planes) -> np.ndarray:
    """The photo that a viewer shows: encoded almost without loss, and decoded."""
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=100), "RGB")


def decoded_rgb(rgb: np.ndarray) -> np.ndarray:
    """The same for RGB that the encoder converts and halves."""
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(rgb, 100, "RGB", "420"), "RGB")


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cielab.rgb_to_lab(torch.from_numpy(np.array(rgb)).movedim(-1, 0))[0].numpy()


@pytest.mark.parametrize("name", ["a photograph", "a gray photograph"])
@pytest.mark.parametrize("strength", [8, 25])
def test_planes_keep_lightness_and_colors_as_well_as_encoding_the_exact_rgb(name, strength):
    pixels, ab = PHOTOS[name], smooth_ab(24, 36, strength)
    exact = join.join(pixels, ab).rgb
    expected = lightness(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels)
    found = join.join(pixels, ab, "yuv420")
    assert found.rgb is None
    ours, theirs = decoded(found.planes), decoded_rgb(exact)
    errors = [np.abs(lightness(picture) - expected).mean() for picture in (ours, theirs)]
    assert errors[0] < 1.02 * errors[1]
    distances = [np.abs(picture.astype(float) - exact).mean() for picture in (ours, theirs)]
    assert distances[0] < 1.1 * distances[1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (7, 5), (8, 9), (33, 40)])
def test_planes_have_the_shapes_that_the_encoder_wants(shape):
    for pixels in (noise(shape), noise((*shape, 3)), noise(shape, np.uint16)):
        found = join.join(pixels, smooth_ab(8, 12, 20), "yuv420").planes
        assert found.Y.shape == shape
        assert found.Cb.shape == found.Cr.shape == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
        assert all(plane.dtype == np.uint8 for plane in found)
        with Image.open(io.BytesIO(simplejpeg.encode_jpeg_yuv_planes(*found, quality=90))) as picture:
            assert picture.size == shape[::-1]


@pytest.mark.parametrize("shape", [(61, 90), (60, 91), (33, 41)])
def test_the_encoder_gets_planes_of_even_sides(shape):
    """It reads a row and a column more if a side is odd: without them, random pixels come into the photo."""
    gray = noise(shape)
    planes = join.join(gray, torch.zeros(2, 8, 8), "yuv420").planes
    even = np.pad(gray, [(0, side % 2) for side in shape], mode="edge")
    chroma = np.full((even.shape[0] // 2, even.shape[1] // 2), 128, np.uint8)
    expected = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg_yuv_planes(even, chroma, chroma, 95), "GRAY")
    for _ in range(5):
        found = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg_yuv_planes(*planes, 95), "GRAY")
        assert np.array_equal(found, expected[: shape[0], : shape[1]])


def test_planes_of_pixels_outside_srgb_are_counted():
    pixels = np.full((20, 40), 128, np.uint8)
    ab = torch.tensor([30.0, -20.0])[:, None, None].expand(2, 8, 16)
    assert join.join(pixels, ab, "yuv420").fitted_fraction == 0
    pixels[:6] = 255  # white has no other color
    found = join.join(pixels, ab, "yuv420")
    assert found.fitted_fraction == 0.3
    assert (found.planes.Y[:6] >= 254).all()


# --- compiled code ---------------------------------------------------------------------------------------------------


def run_loop(folder: Path) -> subprocess.CompletedProcess:
    code = (
        "import kernels, numpy as np; out = np.zeros((1, 1), np.uint16);"
        "kernels.gray_levels(np.ones((1, 1, 3), np.uint8), np.ones((3, 256), np.float32), np.arange(9), out);"
        "print(out[0, 0])"
    )
    env = {"PATH": os.environ["PATH"], "HOME": os.devnull}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)


def test_the_loops_work_if_no_compiled_code_can_be_kept(tmp_path):
    """As in a container that is read-only; a file with the name of the folder also stops an administrator."""
    (tmp_path / "kernels.py").write_bytes(Path(kernels.__file__).read_bytes())
    (tmp_path / "__pycache__").touch()
    done = run_loop(tmp_path)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_the_loops_work_if_kept_code_is_damaged(kind, tmp_path):
    """As after a power failure."""
    (tmp_path / "kernels.py").write_bytes(Path(kernels.__file__).read_bytes())
    run_loop(tmp_path)
    (kept,) = (tmp_path / "__pycache__").glob(f"*.{kind}")
    kept.write_bytes(kept.read_bytes()[:50])
    done = run_loop(tmp_path)
    assert (done.stdout, done.stderr) == ("3\n", "")
