"""A folder of gray photos of one megapixel: `colorize photos`, compared with the network and the codecs alone.

python -m benchmarks.folder [--rounds N] [--small]
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
import torch

from benchmarks import harness, inputs
from colorize.color import gamut
from colorize.commands import folder, listing
from colorize.models.contract import build_model
from colorize.photos.predict import Colorizer

_SIDE = 1000  # pixels of a side of each photo
_DISTINCT = 16
_NOISE = 3.0  # standard deviation, 8-bit levels; enlarged crops without noise would make small JPEGs
_QUALITY = 90


def write_photos(path: Path, count: int, is_gray: bool = True) -> list[Path]:
    """Write JPEGs, gray or 4:2:0, with the noise of a camera."""
    rng = np.random.default_rng(0)
    contents = []
    for crop in inputs.crops(_SIDE, _DISTINCT):
        noisy = (crop + rng.normal(0, _NOISE, crop.shape)).round().clip(0, 255).astype(np.uint8)
        if is_gray:
            content = simplejpeg.encode_jpeg(np.ascontiguousarray(noisy[..., 1:2]), _QUALITY, colorspace="GRAY")
        else:
            content = simplejpeg.encode_jpeg(noisy, _QUALITY, colorsubsampling="420")
        contents.append(content)
    path.mkdir(parents=True)
    files = [path / f"{number:04d}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(contents[number % _DISTINCT])
    return files


def run_ours(colorizer: Colorizer, photos: Path, out: Path) -> None:
    """What `colorize photos` does, with a loaded model."""
    listed = listing.find([photos], is_recursive=False)
    outcomes = list(folder.color(colorizer, listed.entries, folder.Wishes(out)))
    assert all(outcome.status == folder.COLORED for outcome in outcomes)
    shutil.rmtree(out)


def limit(model: torch.nn.Module, colorizer: Colorizer, files: list[Path], is_gray: bool = True) -> Callable[[], None]:
    """Decode each photo, run the network on an input that is there, and encode planes that are there; all in memory."""
    contents = [file.read_bytes() for file in files]
    height, width = colorizer.network_size(_SIDE, _SIDE)
    L_norm = torch.rand(1, 1, height, width).contiguous(memory_format=torch.channels_last)
    gray = simplejpeg.decode_jpeg(contents[0], "GRAY")[..., 0]
    rng = np.random.default_rng(0)
    chroma = [rng.integers(120, 136, (_SIDE // 40, _SIDE // 40), np.uint8).repeat(20, 0).repeat(20, 1) for _ in "ab"]

    def work(content: bytes) -> None:
        with torch.inference_mode():
            simplejpeg.decode_jpeg(content, "GRAY" if is_gray else "RGB")
            model(L_norm)
            simplejpeg.encode_jpeg_yuv_planes(gray, *chroma, _QUALITY)

    def run() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, contents))
        torch.set_num_threads(threads)

    return run


def _pale(model: torch.nn.Module) -> torch.nn.Module:
    """Make an untrained model predict pale colors, as trained models do; no exponential of a logit underflows."""
    with torch.no_grad():
        model.head.weight.mul_(0.1)
        model.head.bias.copy_(gamut.gamut_ab().square().sum(1) / (-2 * 25**2))
    return model


def measure(network_width: float, count: int, rounds: int, small: bool) -> None:
    """Compare the contenders for a model of one width."""
    model = _pale(build_model("unet", network_width)).to(memory_format=torch.channels_last).eval()
    colorizer = Colorizer(model, "unet", 64, "cpu")
    with tempfile.TemporaryDirectory() as name:
        photos, out = Path(name, "photos"), Path(name, "out")
        files = write_photos(photos, count)
        contenders = {
            "ours": harness.counted(lambda: run_ours(colorizer, photos, out), count),
            "network and codecs alone (limit)": harness.counted(limit(model, colorizer, files), count),
        }
        rows = harness.compare(contenders, "ours", "network and codecs alone (limit)", rounds)
    task = {"task": "a folder of gray photos of 1 megapixel", "photos": count, "cores": torch.get_num_threads()}
    harness.report("folder", "Inference", rows, "img/s", **task, width=network_width, device="cpu", small=small)


def main(rounds: int, small: bool) -> None:
    """Measure models of two widths on the CPU."""
    measure(0.25, 64 if small else 500, rounds, small)
    measure(1.0, 16 if small else 500, rounds, small)


if __name__ == "__main__":
    harness.run(main, __doc__)
