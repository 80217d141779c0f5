"""The page of a small model with random weights, a browser, and what tests do with the page."""

import base64
import functools
import io
import json
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.export import onnx, page, web_runtime
from colorize.models import contract, files
from colorize.runtime import DataError
from tests.helpers import browser

REMEDY = "`make export` installs what the export needs"
HOSTILE = "<img src=x onerror=alert(1)>"
DESKTOP = {"width": 1400}
PHONE = {"width": 400, "height": 800, "is_phone": True}
ONE_WIDTH = pytest.mark.parametrize("window", [DESKTOP], ids=["1400"], indirect=True)  # what no layout can change
FORGET = """() => {
  delete worker.thread.postMessage; // what a test has put in its place
  state.photos.length = 0;
  state.shown = null;
  for (const id of ["photos", "problems"]) byId(id).replaceChildren();
  for (const id of ["work", "batch"]) byId(id).hidden = true;
  delete byId("after").dataset.drawn;
  byId("hesitates").textContent = "";
  byId("sure").checked = false;
  byId("restore").click();
  byId("edge").value = 50;
  viewer.moveEdge();
  say("");
  scrollTo(0, 0);
}"""
TIMEOUT_MS = 30_000  # the page unpacks 14 MB of WebAssembly, on a machine that may be busy


def save_model(folder, name: str):
    """A model with random weights. The logits of the U-Net are large, so that its colors differ from pixel to pixel."""
    torch.manual_seed(0)
    model = contract.build_model(name, 0.05)
    if name == "unet":
        with torch.no_grad():
            model.head.weight *= 40
    training = {"train": {"steps": 3, "batch_size": 4}}
    files.save(folder, model, {"model": name, "width": 0.05, "size": 32, "dataset": "objects", "parameters": training})
    return folder


@pytest.fixture(scope="session")
def runtime_folder():
    """The folder of ONNX Runtime Web; skips the test if it is not installed."""
    pytest.importorskip("onnxscript", reason=f"the packages for ONNX are not installed; {REMEDY}")
    try:
        web_runtime.read()
    except DataError:
        pytest.skip(f"ONNX Runtime Web is not installed; {REMEDY}")
    return web_runtime.FOLDER


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The folder of a U-Net."""
    return save_model(tmp_path_factory.mktemp("models") / HOSTILE, "unet")


@pytest.fixture(scope="session", autouse=True)
def _one_export_per_model():
    """Exporting a model takes seconds, and gives the same bytes each time, which tests/export/test_onnx.py checks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "onnx", SimpleNamespace(build=functools.cache(onnx.build)))  # for pages only
        yield


@pytest.fixture(scope="session")
def write_page(runtime_folder, tmp_path_factory):
    """`write_page(folder)`: the page of the model in a folder."""

    def write(folder):
        path = tmp_path_factory.mktemp("page") / "page.html"
        page.write(folder, path)
        return path

    return write


@pytest.fixture(scope="session")
def page_file(write_page, model_folder):
    """The page of the U-Net."""
    return write_page(model_folder)


@pytest.fixture(scope="session")
def regression_folder(tmp_path_factory):
    """The folder of a regression."""
    return save_model(tmp_path_factory.mktemp("models") / "regression", "regression")


@pytest.fixture(scope="session")
def regression_file(write_page, regression_folder):
    """The page of the regression."""
    return write_page(regression_folder)


@pytest.fixture(scope="package")
def chromium():
    """A browser for all tests of the page."""
    with browser.launched() as launched:
        yield launched


class Visit:
    """The open page, and what a person does there."""

    def __init__(self, chromium, path, window):
        self.opened = browser.open_page(chromium, path, **window)
        self.width, self.is_phone = window["width"], "is_phone" in window
        self.page = self.opened.page
        self.page.set_default_timeout(TIMEOUT_MS)
        self.wait_until_ready()
        self.count = 0

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded."""
        self.page.locator("body[data-state=ready]").wait_for()

    def press(self, selector: str) -> None:
        """Press with a finger or with the mouse."""
        target = self.page.locator(selector)
        target.tap() if self.is_phone else target.click()

    def drag(self, selector: str, start: float, end: float) -> None:
        """Drag with a finger or the mouse between two shares of the width of an element."""
        target = self.page.locator(selector)
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        y = box["y"] + box["height"] / 2
        places = [(box["x"] + share * box["width"], y) for share in np.linspace(start, end, 5)]
        if self.is_phone:
            return self.swipe(places)
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()

    def swipe(self, places: list[tuple[float, float]]) -> None:
        """Move a finger over these places (x, y) of the window; playwright can only tap."""
        session = self.page.context.new_cdp_session(self.page)
        for n, (x, y) in enumerate(places):
            kind = "touchMove" if n else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()

    def is_in_sight(self, selector: str) -> bool:
        """Whether a person sees an element without scrolling."""
        box = self.page.locator(selector).bounding_box()
        return box["y"] >= 0 and box["y"] + box["height"] <= self.page.viewport_size["height"]

    def choose(self, files: dict[str, bytes]) -> None:
        """Choose files with these names."""
        named = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
        self.page.set_input_files("#choose", named)

    def color(self, content: bytes, ending: str = "png") -> str:
        """Choose one photo, wait until it is colored, and return its name."""
        self.count += 1
        name = f"photo{self.count}.{ending}"
        self.choose({name: content})
        self.status(f"{name} is colored.")
        return name

    def status(self, text: str) -> None:
        """Wait until the live region says this."""
        self.page.locator("#status", has_text=text).wait_for()

    def set(self, name: str, value: float) -> None:
        """Move a slider, and wait until the picture shows the value."""
        self.page.locator(f"#{name}").fill(str(value))
        shown = value / 100 if name == "strength" else value
        self.wait_for_drawing(name, shown)

    def wait_for_drawing(self, name: str, value: object) -> None:
        """Wait until the picture shows this value."""
        self.wait_until(f"JSON.parse(byId('after').dataset.drawn || '{{}}').{name} === {json.dumps(value)}")

    def wait_until(self, condition: str) -> None:
        """Wait until an expression is true. Playwright's own waiting needs `eval`, which the policy forbids."""
        end = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def pixels(self, canvas: str = "after") -> np.ndarray:
        """(H, W, 3) of a canvas of the page."""
        address = self.page.locator(f"#{canvas}").evaluate("(canvas) => canvas.toDataURL()")
        return rgb_of(base64.b64decode(address.partition(",")[2]))

    def download(self, button: str) -> tuple[str, bytes]:
        """Click a button that downloads: name and content of the file."""
        with self.page.expect_download() as waiting:
            self.press(f"#{button}")
        return waiting.value.suggested_filename, waiting.value.path().read_bytes()

    def picture(self, button: str = "save-png") -> np.ndarray:
        """(H, W, 3) of the downloaded file."""
        return rgb_of(self.download(button)[1])

    def close(self) -> None:
        """Nothing may have gone wrong."""
        self.opened.check()
        self.page.context.close()


def rgb_of(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 of a file."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture(scope="package", params=[DESKTOP, PHONE], ids=["1400", "400"])
def window(request):
    """The windows in which each test runs: that of a desktop with a mouse, and a telephone with fingers."""
    return request.param


@pytest.fixture(scope="package")
def opened_once(chromium, page_file, window):
    """One visit for all tests with this window: opening the page takes a second."""
    found = Visit(chromium, page_file, window)
    yield found
    found.close()


@pytest.fixture
def visit(opened_once):
    """The page of the U-Net, without photos and with the settings of the beginning; the test must cause no error."""
    opened_once.page.evaluate(FORGET)
    yield opened_once
    opened_once.opened.check()


def picture(height: int, width: int, is_gray: bool = False, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: smooth, with noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    rgb = np.asarray(coarse).astype(int) + rng.integers(-20, 21, (height, width, 3))
    rgb = rgb.clip(0, 255).astype(np.uint8)
    return np.repeat(rgb[..., :1], 3, axis=2) if is_gray else rgb


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """A file with these pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    """Names and contents of the files in a zip file, checked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
