"""The colors of the page are those of the Python code, in a real browser."""

import io

import numpy as np
import pytest
from PIL import Image

import colorize
from tests.export.page.conftest import ONE_WIDTH, Visit, encoded, picture

pytestmark = ONE_WIDTH  # the colors are computed before the page is laid out

SIZES = [(40, 60), (64, 64), (128, 96), (17, 250), (331, 517)]  # smaller and larger than the network's input


@pytest.fixture(scope="module")
def load(model_folder):
    return lambda **options: colorize.load(model_folder, device="cpu", **options)


def largest_difference(found: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(found.astype(int) - expected).max())


@pytest.mark.parametrize("is_gray", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_result_is_that_of_python_within_one_level(visit, load, size, is_gray):
    photo = picture(*size, is_gray=is_gray)
    visit.color(encoded(photo))
    visit.set("temperature", 0.1)  # where a wrong filter or a wrong rounding matters more than with the default
    expected = load(temperature=0.1)(photo)
    assert expected.std(axis=(0, 1)).max() > 5 and np.ptp(expected, axis=-1).mean() > 5  # colors that can differ
    assert largest_difference(visit.picture(), expected) <= 1
    assert largest_difference(visit.pixels(), expected) <= 1  # the picture on the screen


def test_strength_and_temperature_are_those_of_python_and_need_no_run_of_the_network(visit, load):
    photo = picture(70, 90)
    visit.color(encoded(photo))
    visit.page.evaluate("""() => {
      window.operations = [];
      const post = worker.thread.postMessage.bind(worker.thread);
      worker.thread.postMessage = (request) => { operations.push(request.op); post(request); };
    }""")
    for temperature, strength in [(0.1, 100), (1, 100), (1, 35), (0.38, 200), (0, 100)]:
        visit.set("temperature", temperature)
        visit.set("strength", strength)
        expected = load(temperature=temperature, strength=strength / 100)(photo)
        assert largest_difference(visit.pixels(), expected) <= 1, (temperature, strength)
    assert set(visit.page.evaluate("operations")) == {"render"}


def test_a_large_photo_is_colored_in_full_size(visit, load):
    photo = picture(1100, 1200)  # more pixels than the picture on the screen
    visit.color(encoded(photo))
    assert visit.pixels().shape[0] < 1100
    assert largest_difference(visit.picture(), load()(photo)) <= 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [2, 5, 6])
def test_a_photo_is_turned_upright_as_in_python(visit, load, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(60, 90), kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    visit.color(content, kind.lower())
    with Image.open(io.BytesIO(content)) as photo:
        difference = np.abs(visit.picture() - load()(photo).astype(int)).mean()
    assert difference < 3  # the decoders may differ a little


def test_a_regression_gives_the_colors_of_python_too(chromium, window, regression_file, regression_folder):
    photo = picture(40, 60)
    visit = Visit(chromium, regression_file, window)
    visit.color(encoded(photo))
    expected = colorize.load(regression_folder, device="cpu", strength=1.5)(photo)
    visit.set("strength", 150)
    assert largest_difference(visit.pixels(), expected) <= 1
    assert largest_difference(visit.picture(), expected) <= 1
    visit.close()
