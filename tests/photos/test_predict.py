"""Prediction on whole photos: lightness and size are the photo's, colors the network's."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import colorize
from colorize.color import cielab, gamut
from colorize.models.contract import Network
from colorize.photos import predict
from colorize.runtime import DataError, ParameterError
from colorize.sharding import images
from tests.helpers.photographs import SIZE, save_unet
from tests.helpers.photographs import smooth_photo as photo

AB = (30.0, -20.0)  # of the constant model


class Constant(Network):
    """A regression that paints everything in one color, and remembers what it saw."""

    multiple_of = 8

    def forward(self, L_norm):
        self.seen = L_norm
        ab = torch.tensor(AB)[None, :, None, None] / cielab.AB_SCALE
        return ab.expand(len(L_norm), 2, *L_norm.shape[-2:])


class TwoBins(Network):
    """A classifier at half size that finds bin 100 twice as probable as bin 200, and no other possible."""

    multiple_of = 8

    def forward(self, L_norm):
        logits = torch.full((len(L_norm), gamut.NUM_BINS, L_norm.shape[2] // 2, L_norm.shape[3] // 2), -1000.0)
        logits[:, 100] = math.log(2)
        logits[:, 200] = 0
        return logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained U-Net of strong and changing colors, many of them outside sRGB."""
    return save_unet(tmp_path_factory.mktemp("models") / "objects-unet-0", 2000)


@pytest.fixture(scope="module")
def colorizer(folder):
    return colorize.load(folder, device="cpu")


@pytest.fixture
def constant():
    return predict.Colorizer(Constant(), "regression", SIZE)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """(H, W) L."""
    return cielab.rgb_to_lab(torch.from_numpy(np.array(rgb)).movedim(-1, 0))[0].numpy()


def assert_same_lightness(rgb: np.ndarray, expected: np.ndarray) -> None:
    """Within what rounding to 8 bits moves L."""
    assert rgb.shape == expected.shape
    assert rgb.dtype == np.uint8
    assert np.abs(lightness(rgb) - lightness(expected)).max() < 0.35


@pytest.mark.parametrize("shape", [(301, 203), (64, 64), (16, 500), (21, 17)])
def test_lightness_and_size_are_those_of_the_photo(colorizer, shape):
    rgb = photo(*shape)
    result = colorizer.colorize(rgb)
    assert_same_lightness(result.rgb, rgb)
    assert result.fitted_fraction > 0.05  # also where colors had to be fitted


def test_of_a_color_photo_only_the_lightness_is_used(constant):
    one, other = constant(photo(40, 50)), constant(photo(40, 50)[..., ::-1])
    assert_same_lightness(one, photo(40, 50))
    assert_same_lightness(other, photo(40, 50)[..., ::-1])
    gray = np.repeat(photo(40, 50)[..., :1], 3, axis=2)
    assert np.array_equal(constant(gray), constant(gray[..., 0]))


def test_a_color_that_srgb_shows_comes_out_as_predicted(constant):
    rgb = constant(np.full((70, 90), 128, np.uint8))
    lab = cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))
    assert (lab[1] - AB[0]).abs().max() < 1
    assert (lab[2] - AB[1]).abs().max() < 1


def test_pixels_outside_srgb_are_counted(constant):
    rgb = np.full((20, 40), 128, np.uint8)
    assert constant.colorize(rgb).fitted_fraction == 0
    rgb[:5] = 255  # white has no other color
    result = constant.colorize(rgb)
    assert result.fitted_fraction == 0.25
    assert (result.rgb[:5] >= 254).all()


def test_the_network_sees_the_lightness_of_the_whole_photo(constant):
    constant(np.full((64, 128), 255, np.uint8))
    assert constant._model.seen.shape == (1, 1, 64, 128)
    assert torch.allclose(constant._model.seen, torch.ones(()), atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((3000, 4000), None, (64, 88)),  # at most twice the training size; sides are multiples of 8
        ((4000, 3000), None, (88, 64)),
        ((48, 60), None, (48, 64)),  # the photo's own size between
        ((16, 20), None, (32, 40)),  # at least the training size
        ((3000, 4000), 128, (128, 168)),
        ((100, 5000), None, (64, 256)),  # panoramas are squeezed to 4 : 1
    ],
)
def test_size_that_the_network_sees(shape, size, expected):
    assert predict.Colorizer(Constant(), "regression", SIZE, size=size).network_size(*shape) == expected


def test_a_pillow_image_is_turned_upright(constant, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(40, 60)).save(tmp_path / "turned.jpg", exif=exif)
    upright = images.open_rgb((tmp_path / "turned.jpg").read_bytes())
    assert upright.size == (40, 60)
    with Image.open(tmp_path / "turned.jpg") as turned:
        assert np.array_equal(constant(turned), constant(np.asarray(ImageOps.exif_transpose(turned))))
        assert constant(turned).shape == constant(upright).shape == (60, 40, 3)  # not turned a second time


def test_gray_images_of_either_kind(colorizer):
    gray = photo(50, 40)[..., 0]
    assert np.array_equal(colorizer(gray), colorizer(Image.fromarray(gray)))
    assert_same_lightness(colorizer(gray), np.repeat(gray[..., None], 3, axis=2))


def test_predicted_ab_covers_the_photo_at_the_networks_size(constant, colorizer):
    ab = constant.predict_ab(photo(100, 130))
    assert ab.shape == (64, 80, 2)
    assert np.allclose(ab, AB)
    assert colorizer.predict_ab(photo(100, 130)).dtype == np.float32


@pytest.mark.parametrize(
    ("temperature", "share"),
    [(0, 1.0), (None, 2 ** (1 / 0.38) / (2 ** (1 / 0.38) + 1)), (1, 2 / 3)],
)
def test_temperature_goes_from_the_mode_to_the_mean(temperature, share):
    colorizer = predict.Colorizer(TwoBins(), "cnn", SIZE, temperature=temperature)
    ab = colorizer.predict_ab(photo(40, 40))
    assert ab.shape == (20, 20, 2)  # where the network answers at half size
    expected = share * gamut.GAMUT_AB[100] + (1 - share) * gamut.GAMUT_AB[200]
    assert np.allclose(ab, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
        (Image.new("CMYK", (4, 4)), "CMYK"),
        (Image.new("I", (4, 4)), "mode I: "),
        ("no/photo.jpg", "no/photo.jpg: no such file"),
        (Path("no/photo.jpg"), "no/photo.jpg: no such file"),
        ("a\0b", "embedded null byte"),
        (b"bytes", "cannot be used as a photo: not an image"),
        (5, "int: expected"),
        ([[1]], "list: expected"),
    ],
)
def test_other_images_are_refused_by_what_they_are(constant, image, words):
    with pytest.raises(ValueError, match=words):
        constant(image)


@pytest.mark.parametrize(
    "options",
    [{"size": 8}, {"size": 5000}, *({"temperature": value} for value in (-1, math.nan, "1"))]
    + [{"strength": value} for value in (-1, 2.5, math.nan, "1", True)],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ParameterError, match="expected"):
        predict.Colorizer(Constant(), "unet", SIZE, **options)


def test_a_regression_has_no_temperature():
    with pytest.raises(ParameterError, match="regression"):
        predict.Colorizer(Constant(), "regression", SIZE, temperature=0.5)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing-here"):
        colorize.load(tmp_path / "nothing-here")


@pytest.mark.parametrize("temperature", [0, None, 1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_colors_that_are_not_finite_are_refused(value, temperature):
    model = TwoBins()
    forward = model.forward
    model.forward = lambda L_norm: forward(L_norm).index_fill_(1, torch.tensor([150]), value)
    with pytest.raises(DataError, match="colors are not finite"):
        predict.Colorizer(model, "cnn", SIZE, temperature=temperature)(photo(40, 40))


def test_a_model_is_loaded_to_the_knobs_device_unless_one_is_given(folder, monkeypatch):
    monkeypatch.setenv("COLORIZE_DEVICE", "nonsense")
    with pytest.raises(ParameterError, match="the device nonsense cannot be used here"):
        colorize.load(folder)
    assert colorize.load(folder, device="cpu")(photo(20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        (b"model", {}, "path b'model': expected the path"),
        (["model"], {}, "path .'model'.: expected the path"),
        (None, {}, "path None: expected the path"),
        ("a\0b", {}, "embedded null byte"),
        ("x" * 5000, {}, "File name too long"),
        ("model", {"device": 5}, "device 5: expected a name"),
    ],
)
def test_wrong_types_of_arguments_are_value_errors(path, options, words):
    with pytest.raises(ValueError, match=words):
        colorize.load(path, **options)
