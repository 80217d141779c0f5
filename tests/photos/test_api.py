"""The Python API: every kind of image, lists, threads; what the network sees; entropy and strength."""

import io
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import colorize
from colorize.color import cielab, gamut
from colorize.models import files
from colorize.models.contract import Network
from colorize.photos import predict
from colorize.photos.metadata import Kept
from colorize.photos.photo import Photo
from colorize.runtime import ParameterError
from colorize.sharding import images
from tests.helpers.photographs import SIZE, save_unet
from tests.helpers.photographs import smooth_photo as photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained U-Net of changing colors."""
    return save_unet(tmp_path_factory.mktemp("models") / "objects-unet-0", 200)


@pytest.fixture(scope="module")
def colorizer(folder):
    return colorize.load(folder, device="cpu")


class Seeing(Network):
    """A regression that predicts gray, and remembers what it saw."""

    multiple_of = 8

    def forward(self, L_norm):
        self.seen = L_norm
        return torch.zeros(len(L_norm), 2, *L_norm.shape[-2:])


class Certain(Network):
    """A classifier whose distribution is uniform over the given number of bins."""

    multiple_of = 8

    def __init__(self, num_bins: int):
        super().__init__()
        self.num_bins = num_bins

    def forward(self, L_norm):
        logits = torch.full((len(L_norm), gamut.NUM_BINS, *L_norm.shape[-2:]), -1000.0)
        logits[:, : self.num_bins] = 3.0
        return logits


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


# --- kinds of images -------------------------------------------------------------------------------------------------


def test_a_path_its_text_its_bytes_an_image_and_an_array_give_the_same(colorizer, tmp_path):
    rgb = photo(50, 70)
    path = tmp_path / "photo.png"
    path.write_bytes(png(rgb))
    expected = colorizer(rgb)
    content = path.read_bytes()
    for image in (path, str(path), content, bytearray(content), memoryview(content), Image.open(path)):
        assert np.array_equal(colorizer(image), expected), type(image)


def test_a_list_gives_a_list_in_its_order(colorizer, tmp_path):
    (tmp_path / "photo.png").write_bytes(png(photo(40, 60, 1)))
    mixed = [photo(50, 70), tmp_path / "photo.png", photo(50, 70, 2)[..., 0], png(photo(90, 30, 3))]
    results = colorizer(mixed)
    assert [result.shape for result in results] == [(50, 70, 3), (40, 60, 3), (50, 70, 3), (90, 30, 3)]
    for image, result in zip(mixed, results, strict=True):
        assert np.array_equal(colorizer(image), result)
    assert colorizer([]) == []
    assert len(colorizer((photo(20, 20),))) == 1


@pytest.mark.parametrize("image", [Path(__file__), Path(__file__).read_bytes()], ids=["path", "bytes"])
def test_a_file_that_is_no_image_is_one_line(colorizer, image):
    with pytest.raises(ValueError, match=r"^[^\n]*cannot be used as a photo: not an image$"):
        colorizer(image)


def test_a_value_of_another_type_is_told_all_that_can_be_colored(colorizer):
    with pytest.raises(ValueError, match=r"^int: expected a path, the bytes of a file, a Pillow image or an array$"):
        colorizer(3)


def test_loading_a_file_that_is_no_model_is_told_what_is_expected(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(
        ValueError, match=r"photo\.jpg: expected the folder of a trained model, or a file that ends with"
    ):
        colorize.load(tmp_path / "photo.jpg", "cpu")


def test_a_folder_and_a_named_pipe_are_refused_at_once(colorizer, tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match=str(path)):
            colorizer(path)


def test_gray_of_16_bits_gives_16_bits(colorizer):
    deep = (photo(50, 70)[..., 0].astype(np.uint16) * 257) + np.uint16(90)
    result = colorizer(deep)
    assert result.dtype == np.uint16
    assert np.abs(result / 257 - colorizer(((deep + 128) // 257).astype(np.uint8))).max() < 2.5
    assert len(np.unique(result % 257)) > 100  # the low bits are not lost


# --- what the network sees -------------------------------------------------------------------------------------------


def seen(photo_: Photo, size: int | None = None) -> torch.Tensor:
    network = Seeing()
    predict.Colorizer(network, "regression", SIZE, size=size).predict([photo_])
    return network.seen


def expected_input(rgb: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Today's policy: 8-bit sRGB, resized as RGB."""
    method = Image.Resampling.HAMMING if size[0] < rgb.height else Image.Resampling.BICUBIC
    small = np.array(rgb.resize(size[::-1], method))
    return cielab.rgb_to_lab(torch.from_numpy(small).movedim(-1, 0)[None])[:, :1] / 100


@pytest.mark.parametrize("shape", [(16, 17), (100, 131), (400, 90)])
@pytest.mark.parametrize("kind", ["gray", "color"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_the_network_sees_every_photo_as_open_rgb_opens_it(shape, kind, has_alpha):
    rgb = photo(*shape)
    pixels = rgb if kind == "color" else np.ascontiguousarray(rgb[..., 1])
    alpha = photo(*shape, seed=1)[..., 0] if has_alpha else None
    stacked = np.dstack([pixels, alpha]) if has_alpha else pixels
    found = seen(Photo(pixels, alpha, "PNG", "", Kept(), None))
    assert torch.equal(found, expected_input(images.open_rgb(png(stacked)), tuple(found.shape[-2:])))


def test_the_network_sees_16_bits_as_open_rgb_opens_them():
    deep = np.random.default_rng(0).integers(0, 65536, (90, 70), dtype=np.uint16)
    found = seen(Photo(deep, None, "PNG", "", Kept(), None))
    assert torch.equal(found, expected_input(images.open_rgb(png(deep)), tuple(found.shape[-2:])))


def test_transparent_pixels_keep_their_own_lightness(colorizer):
    pixels = photo(40, 60)[..., 0]
    alpha = np.zeros_like(pixels)
    alpha[:20] = 255
    one = Photo(pixels, alpha, "PNG", "", Kept(), None)
    rgb = colorizer.join(one, colorizer.predict([one])[0]).rgb
    lightness = cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))[0]
    expected = cielab.rgb_to_lab(torch.from_numpy(np.repeat(pixels[None], 3, axis=0)))[0]
    assert (lightness - expected).abs().max() < 0.35


def test_colors_are_the_annealed_mean_of_the_logits(colorizer):
    one = Photo(photo(50, 70), None, "", "", Kept(), None)
    network = colorizer._model
    L_norm = expected_input(Image.fromarray(one.pixels), colorizer.network_size(50, 70))
    expected = gamut.annealed_mean(network(L_norm.contiguous(memory_format=torch.channels_last)), 0.38)[0]
    torch.testing.assert_close(colorizer.predict([one])[0].ab, expected, atol=0.05, rtol=1e-3)


# --- batches and threads ---------------------------------------------------------------------------------------------


def test_predictions_do_not_depend_on_the_batch(colorizer):
    shapes = [(50, 70), (70, 50), (50, 70), (16, 200), (50, 70)]
    photos = [Photo(photo(*shape, seed), None, "", "", Kept(), None) for seed, shape in enumerate(shapes)]
    together = colorizer.predict(photos)
    for one, prediction in zip(photos, together, strict=True):
        assert torch.equal(colorizer.predict([one])[0].ab, prediction.ab)


def test_predictions_of_a_true_batch_differ_in_the_last_digits_at_most(colorizer, monkeypatch):
    monkeypatch.setattr(predict, "_BATCH_PIXELS", {"cpu": 1 << 19})
    photos = [Photo(photo(50, 70, seed), None, "", "", Kept(), None) for seed in range(3)]
    assert len(colorizer._batches([colorizer.network_size(50, 70)] * 3)) == 1
    for one, prediction in zip(photos, colorizer.predict(photos), strict=True):
        assert (colorizer.predict([one])[0].ab - prediction.ab).abs().max() < 1e-3


def test_large_batches_are_divided(colorizer, monkeypatch):
    monkeypatch.setattr(predict, "_BATCH_PIXELS", {"cpu": 3 * 32 * 48})
    sizes = [(32, 48), (32, 32), (32, 48), (32, 48), (32, 48)]
    assert colorizer._batches(sizes) == [[0, 2, 3], [4], [1]]
    monkeypatch.setattr(predict, "_BATCH_PIXELS", {"cpu": 1})
    assert colorizer._batches(sizes[:2]) == [[0], [1]]


def test_threads_give_the_same_bytes_as_one_call_after_the_other(colorizer):
    photos = [photo(300 + 10 * number, 400, number) for number in range(6)]
    expected = [colorizer(one) for one in photos]
    found: list = [None] * len(photos)

    def work(first: int) -> None:
        for number in range(first, len(photos), 2):
            found[number] = colorizer(photos[number])

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


def test_a_call_leaves_the_process_as_it_was(colorizer):
    before = torch.get_num_threads(), threading.active_count(), torch.get_rng_state().tolist(), np.geterr()
    colorizer([photo(300, 400), photo(40, 50)[..., 0]])
    assert before == (torch.get_num_threads(), threading.active_count(), torch.get_rng_state().tolist(), np.geterr())


# --- what a Colorizer says about itself ------------------------------------------------------------------------------


def test_a_colorizer_names_its_model_and_its_parameters(folder):
    colorizer = colorize.load(folder, device="cpu", size=64, strength=0.5)
    _, sidecar = files.load(folder)
    assert (colorizer.name, colorizer.sha256) == ("unet", sidecar["weights_sha256"])
    assert (colorizer.temperature, colorizer.size, colorizer.strength) == (0.38, 64, 0.5)
    assert colorize.load(folder, device="cpu", temperature=0).temperature == 0
    assert predict.Colorizer(Seeing(), "regression", SIZE).temperature is None


def test_a_function_with_multiple_of_is_enough_for_a_network():
    """A network of another runtime is no torch module."""

    class Foreign:
        multiple_of = 8

        def __call__(self, L_norm: torch.Tensor) -> torch.Tensor:
            return torch.full((len(L_norm), 2, *L_norm.shape[-2:]), 0.1)

    assert predict.Colorizer(Foreign(), "regression", SIZE)(photo(20, 30)).shape == (20, 30, 3)
    with pytest.raises(ParameterError, match="no temperature"):
        predict.Colorizer(Foreign(), "regression", SIZE, temperature=1)


# --- strength and entropy --------------------------------------------------------------------------------------------


def mean_ab(rgb: np.ndarray) -> torch.Tensor:
    return cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))[1:].mean(dim=(1, 2))


def test_strength_multiplies_ab(folder):
    gray = np.full((40, 60), 128, np.uint8)
    colors = {value: mean_ab(colorize.load(folder, device="cpu", strength=value)(gray)) for value in (0, 0.5, 1, 2)}
    assert colors[0].abs().max() < 0.05
    assert colors[1].abs().max() > 1
    for value in (0.5, 2):
        torch.testing.assert_close(colors[value], value * colors[1], atol=0.4, rtol=0.1)


def test_strength_zero_gives_the_photo_back(folder):
    gray = photo(50, 70)[..., 0]
    assert (colorize.load(folder, device="cpu", strength=0)(gray) == gray[..., None]).all()


@pytest.mark.parametrize("num_bins", [1, 2, 313])
def test_entropy_is_that_of_the_distribution_in_nats(num_bins):
    colorizer = predict.Colorizer(Certain(num_bins), "cnn", SIZE)
    one = Photo(photo(40, 60), None, "", "", Kept(), None)
    entropy = colorizer.predict([one], entropy=True)[0].entropy
    assert entropy.shape == colorizer.network_size(40, 60)
    assert entropy.dtype == np.float32
    assert np.allclose(entropy, math.log(num_bins), atol=1e-4)
    assert colorizer.predict([one])[0].entropy is None


def test_a_regression_has_no_entropy():
    one = Photo(photo(40, 60), None, "", "", Kept(), None)
    assert predict.Colorizer(Seeing(), "regression", SIZE).predict([one], entropy=True)[0].entropy is None
