"""The gallery: complete, static, and safe whatever the files were called."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from colorize.layout import Cell
from colorize.report import gallery
from colorize.runtime import DataError

HOSTILE = '"><img src=x onerror=alert(1)>.jpg'


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, html: str) -> None:
        """Parse at once."""
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Collect a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Collect a text."""
        self.texts.append(data.strip())


def files_of(run) -> dict[str, bytes]:
    return gallery.render_gallery(run.inputs)


def test_each_model_and_target_has_a_sprite(make_run):
    files = files_of(make_run(("a", "b"), ("cnn", "unet")))
    assert sorted(files) == [
        "a-by-a-cnn.png", "a-by-a-unet.png", "a-by-b-cnn.png", "a-by-b-unet.png", "a-input.png", "a-truth.png",
        "b-by-a-cnn.png", "b-by-a-unet.png", "b-by-b-cnn.png", "b-by-b-unet.png", "b-input.png", "b-truth.png",
        "index.html",
    ]  # fmt: skip


def test_sprite_holds_every_saved_image_losslessly(make_run):
    run = make_run(("a",), ("cnn",))
    cell = run.inputs.predictions(Cell("a", "cnn", "a"))
    sprite = np.asarray(Image.open(io.BytesIO(files_of(run)["a-truth.png"])))
    assert sprite.shape == (10 * 10, 10, 3)
    assert np.array_equal(sprite.reshape(10, 10, 10, 3)[:, 1:-1, 1:-1], cell.truth[:10])


@pytest.mark.parametrize("side", [64, 100])
def test_positions_put_every_image_exactly_into_its_tile(side):
    at = gallery.sprite_positions(count=7, size=64)
    scale = side / 64
    height = float(at["height"][:-1]) / 100 * side
    assert height == pytest.approx(7 * 66 * scale, abs=0.01)
    for i, row in enumerate(at["rows"]):
        offset = float(row[:-1]) / 100 * (side - height)  # CSS: the percentage of the room that is left
        assert -offset == pytest.approx((66 * i + 1) * scale, abs=0.02)


def test_page_shows_every_image_with_every_model_and_its_error(make_run):
    page = Page(files_of(make_run(("a", "b"), ("cnn", "unet")))["index.html"].decode())
    assert sum(tag == "article" for tag, _ in page.tags) == 20
    tiles = [attributes["aria-label"] for tag, attributes in page.tags if attributes.get("role") == "img"]
    assert tiles[:6] == [
        "input, image 0",
        "CNN, trained on a, image 0",
        "Unet, trained on a, image 0",
        "CNN, trained on b, image 0",
        "Unet, trained on b, image 0",
        "ground truth, image 0",
    ]
    assert page.texts.count("0.0900") == 2 * 4  # the tenth image, by four models, of two data sets
    assert "photo9.jpg" in page.texts


def test_hostile_names_stay_text(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_predictions("a", "cnn", "a", source=np.array([HOSTILE] * 12))
    html = files_of(run)["index.html"].decode()
    page = Page(html)
    assert HOSTILE in page.texts
    assert "<img" not in html
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_page_runs_nothing_and_loads_nothing_from_elsewhere(make_run):
    page = Page(files_of(make_run())["index.html"].decode())
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form"} == set()
    assert not any("style" in attributes or "src" in attributes for _, attributes in page.tags)
    html = files_of(make_run())["index.html"].decode()
    assert "http:" not in html
    assert "https:" not in html
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_policy_knows_the_style_sheet_by_its_hash(make_run):
    html = files_of(make_run(("a",), ("cnn",)))["index.html"].decode()
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in html


def test_models_that_saved_other_images_are_refused(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_predictions("a", "unet", "a", is_saved=np.arange(12) > 1)
    with pytest.raises(DataError, match=r"a-unet-0.a.*its saved test images differ"):
        files_of(run)
