"""Photos: a gray JPEG of 24 megapixels to a color photo, compared with the plain formula and with codec and network.

python -m benchmarks.photos [--rounds N] [--small]

A file in memory becomes a file in memory, in a process that has done this before. The limit is decoding, network and
encoding alone. The photo is an enlarged one with the details of others in their own size, because JPEGs of photos
without noise are too cheap. The model is that of the default run if it is there, else an untrained one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageFilter
from skimage import data as skimage_data

import colorize
from benchmarks import harness
from benchmarks.inference import _muted
from colorize import runtime
from colorize.color import cielab
from colorize.models.contract import build_model
from colorize.photos import photo, save
from colorize.photos.mark import Mark
from colorize.photos.photo import Photo
from colorize.photos.predict import Colorized, Colorizer, Prediction

_KINDS = {"JPEG 4:2:0": ("jpeg", "4:2:0"), "JPEG 4:4:4": ("jpeg", "4:4:4"), "PNG": ("png", None)}
_QUALITY = 92  # of the JPEGs, in and out
_MODEL = runtime.repo_root() / "data/models/objects-unet-0"
_STRIP_PIXELS = 1 << 17
_TILE = 300  # pixels; no photograph is smaller
_LIMIT = "decoding + network + encoding (limit)"


def gray_photo(height: int, width: int) -> np.ndarray:
    """(height, width) uint8: one photograph, enlarged, with the fine detail and the noise of four in their own size."""
    tiles = [_gray(name) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    details = []
    for tile in tiles:
        smooth = np.asarray(tile.filter(ImageFilter.BoxBlur(2)), np.int16)
        details.append((np.asarray(tile) - smooth)[:_TILE, :_TILE])
    scene = np.asarray(tiles[2].resize((width, height), Image.Resampling.BICUBIC), np.int16)
    rng, noisy = np.random.default_rng(0), np.empty((height, width), np.uint8)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            part = np.s_[top : top + _TILE, left : left + _TILE]
            detail = details[rng.integers(len(details))][:, :: rng.choice((-1, 1))]
            noisy[part] = (scene[part] + detail[: scene[part].shape[0], : scene[part].shape[1]]).clip(0, 255)
    return noisy


def _gray(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage_data, name)()).convert("L")


class Task:
    """One photo and one kind of file."""

    def __init__(self, colorizer: Colorizer, content: bytes, kind: str):
        self._colorizer, self._content, self._model = colorizer, content, colorizer._model
        self._photo = photo.read(content)
        format, subsampling = _KINDS[kind]
        self._encoding = save.choose(self._photo, format, _QUALITY, subsampling)
        self._mark = Mark(self._photo.sha256, colorizer.name, colorizer.sha256, 0.38, None, 1.0, colorize.__version__)
        self._L_norm = colorizer._network_input(self._photo).contiguous(memory_format=torch.channels_last)
        self._result = self._colored(self._photo)
        self.fitted_fraction = self._result.fitted_fraction

    def ours(self) -> bytes:
        """What the command does, without files."""
        one = photo.read(self._content)
        return save.encode(one, self._colored(one), self._encoding, self._mark)

    def plain(self) -> bytes:
        """The same with the plain formula."""
        one = photo.read(self._content)
        prediction = self._colorizer.predict([one])[0]
        rgb, fraction = plain_join(one.pixels, prediction)
        return save.encode(one, Colorized(rgb, None, fraction, prediction), self._encoding, self._mark)

    @torch.inference_mode()
    def limit(self) -> bytes:
        """Codec and network alone."""
        simplejpeg.decode_jpeg(self._content, "GRAY")
        self._model(self._L_norm)
        return save.encode(self._photo, self._result, self._encoding, self._mark)

    def contenders(self) -> dict[str, harness.Contender]:
        """The contenders of this task, which process one photo per call."""
        works = {"ours": self.ours, "the plain formula": self.plain, _LIMIT: self.limit}
        return {name: harness.counted(work, 1) for name, work in works.items()}

    def _colored(self, one: Photo) -> Colorized:
        return self._colorizer.join(one, self._colorizer.predict([one])[0], self._encoding.layout)


@torch.inference_mode()
def plain_join(gray: np.ndarray, prediction: Prediction) -> tuple[np.ndarray, float]:
    """(H, W) uint8 and ab to (H, W, 3) uint8 by the functions of `colorize.color.cielab`, in strips."""
    height, width = gray.shape
    wide = torch.nn.functional.interpolate(prediction.ab[None], (prediction.ab.shape[1], width), mode="bilinear")
    ab = torch.nn.functional.interpolate(wide, (height, width), mode="bilinear")[0]  # (2, H, W)
    rows = max(1, _STRIP_PIXELS // width)
    colored, num_fitted = np.empty((height, width, 3), np.uint8), 0
    for top in range(0, height, rows):
        strip = torch.from_numpy(gray[top : top + rows].copy())
        lab = cielab.rgb_to_lab(strip.expand(3, *strip.shape))
        lab[1:] = ab[:, top : top + rows]
        lab, is_fitted = cielab.fit_to_gamut(lab)
        colored[top : top + rows] = cielab.lab_to_rgb(lab).movedim(0, -1).numpy()
        num_fitted += int(is_fitted.sum())
    return colored, num_fitted / gray.size


def peak_of(work: Callable[[], object]) -> float:
    """Largest growth of the anonymous memory of this process during some work, MB."""
    before = peak = _anonymous()
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    stop.set()
    watcher.join()
    return (peak - before) / 1e6


def _anonymous() -> int:
    """Anonymous memory of this process, bytes; the kernel counts it, so that reading takes microseconds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _colorizer() -> tuple[Colorizer, str]:
    if (_MODEL / "model.json").exists():
        return colorize.load(_MODEL, "cpu"), _MODEL.name
    model = _muted(build_model("unet", 0.25)).to(memory_format=torch.channels_last).eval()
    return Colorizer(model, "unet", 64), "untrained unet"


def main(rounds: int, small: bool) -> None:
    """Measure on the CPU."""
    height, width = (1600, 2400) if small else (4000, 6000)
    gray = gray_photo(height, width)
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(gray[..., None]), _QUALITY, "GRAY")
    colorizer, name = _colorizer()
    for kind in _KINDS:
        task = Task(colorizer, content, kind)
        memory = peak_of(task.ours)
        rows = harness.compare(task.contenders(), "ours", _LIMIT, rounds)
        note = f"{1 / (rows[0].share or 1):.2f} times the limit's time, {memory:.0f} MB above the loaded model, "
        rows[0] = rows[0]._replace(note=note + f"{task.fitted_fraction:.0%} of the pixels fitted into sRGB")
        conditions = {"kind": kind, "side": f"{height} x {width}", "model": name}
        harness.report("photos", "Photos: a gray JPEG in color", rows, "photos/s", details={"MB": memory}, **conditions)


if __name__ == "__main__":
    harness.run(main, __doc__)
