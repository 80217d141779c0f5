"""Measure LPIPS and FID of a trained model: `python tools/perceptual.py data/models/objects-unet-0 photos/`.

Every photo is cropped to its central square, resized to 256 px, and colored by the model. The prediction is compared
with the photo. Gray, the same photo without color, is measured too, because a model must be better than that. Without
a folder of photos, the images are the test images of the model's data set. `docs/measures.md` explains the measures.

No stage needs this: both measures use networks with weights of others, which the user must download.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import colorize
from colorize import runtime
from colorize.color import cielab
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.models import files
from colorize.runtime import DataError, ParameterError
from colorize.sharding import images

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

SIDE = 256  # pixels, of the photos
FEATURES = 2048  # of the last pooling layer of Inception-v3
_HASH_DIGITS = 8  # the names of the weight files end with this many digits of their SHA-256

Predict = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 sRGB -> the same shape and type


class Weights(NamedTuple):
    """A file with the weights of a network."""

    url: str
    megabytes: int

    @property
    def path(self) -> Path:
        """Where torch looks for the file; the environment variable TORCH_HOME changes it."""
        return Path(torch.hub.get_dir(), "checkpoints", self.url.rpartition("/")[2])

    @property
    def digest(self) -> str:
        """First digits of the SHA-256, as the name of the file gives them."""
        return self.path.stem[-_HASH_DIGITS:]


VGG = Weights("https://download.pytorch.org/models/vgg16-397923af.pth", 528)
INCEPTION = Weights(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth", 91
)


class Images(NamedTuple):
    """Images to measure."""

    count: int  # at most this many
    rgb: Iterator[np.ndarray]  # (H, W, 3) uint8 sRGB each
    name: str


class Candidate:
    """A function that colors an image, and its scores.

    Args:
        name: name for the report.
        predict: the function.
        fid: FID for images of type uint8, on the device; None leaves it out.
    """

    def __init__(self, name: str, predict: Predict, fid: FrechetInceptionDistance | None):
        self.name, self.predict = name, predict
        self.lpips: list[float] = []  # one per image
        self._fid = fid

    def add(self, predicted: Tensor, truth: Tensor, lpips: LearnedPerceptualImagePatchSimilarity) -> None:
        """Add one image: (1, 3, H, W) uint8 each."""
        lpips.reset()
        lpips.update(_to_signed(predicted), _to_signed(truth))
        self.lpips.append(float(lpips.compute()))
        if self._fid:
            self._fid.update(truth, real=True)
            self._fid.update(predicted, real=False)

    def fid(self) -> float | None:
        """Compute FID, which takes seconds; None for too few images, whose features have a singular covariance."""
        return float(self._fid.compute()) if self._fid and len(self.lpips) > FEATURES else None


def main(*arguments: str) -> None:
    """Parse the arguments, measure the model and gray, and print the result.

    Raises:
        ParameterError: a package is missing, or an argument is wrong.
        DataError: the model, the images or the weights of a network are missing or damaged.
    """
    options = _parser().parse_args(arguments)
    _check_packages()
    device = runtime.set_up_torch(options.device)
    colorizer = colorize.load(options.model, device, temperature=options.temperature)
    chosen = _photos(options.photos) if options.photos else _test_images(options.model)
    has_fid = chosen.count > FEATURES
    _check_weights([VGG, INCEPTION] if has_fid else [VGG])
    predictors = {str(options.model): colorizer, "gray": gray}
    candidates = [Candidate(*item, new_fid().to(device) if has_fid else None) for item in predictors.items()]
    with runtime.progress("measure", chosen.count, "images") as advance:
        measure(chosen.rgb, candidates, new_lpips().to(device), device, advance)
    _report(candidates, chosen)


def measure(
    rgb: Iterator[np.ndarray],
    candidates: list[Candidate],
    lpips: LearnedPerceptualImagePatchSimilarity,
    device: str,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Compare the predictions for each image with the image; add the scores to the candidates.

    Args:
        rgb: (H, W, 3) uint8 sRGB each.
        candidates: candidates without scores.
        lpips: LPIPS for images in [-1, 1], on the device.
        device: device to run on.
        advance: called with the number of images measured since the last call.
    """
    for image in rgb:
        truth = _to_batch(image, device)
        for candidate in candidates:
            candidate.add(_to_batch(candidate.predict(image), device), truth, lpips)
        advance(1)


def gray(rgb: np.ndarray) -> np.ndarray:
    """An image, (H, W, 3) uint8 sRGB, without its colors: the same L, and a = b = 0."""
    lab = cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))  # (3, H, W)
    lab[1:] = 0
    return cielab.lab_to_rgb(lab).movedim(0, -1).numpy()


def _to_batch(rgb: np.ndarray, device: str) -> Tensor:
    """(H, W, 3) -> (1, 3, H, W), uint8."""
    return torch.from_numpy(rgb).to(device).movedim(-1, 0)[None]


def _to_signed(rgb: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return rgb.float() / 127.5 - 1


# --- networks --------------------------------------------------------------------------------------------------------


def new_lpips() -> LearnedPerceptualImagePatchSimilarity:
    """LPIPS with VGG-16, for images in [-1, 1] (Zhang et al. 2018)."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="vgg")


def new_fid() -> FrechetInceptionDistance:
    """FID with Inception-v3, for images of type uint8 (Heusel et al. 2017)."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    # without antialiasing, images are resized to 299 px exactly as by the code of the authors of FID
    path = str(INCEPTION.path)
    return FrechetInceptionDistance(feature=FEATURES, feature_extractor_weights_path=path, antialias=False)


def _check_packages() -> None:
    """Raise ParameterError if a package is missing."""
    for name in ("torchmetrics", "torch_fidelity"):
        if importlib.util.find_spec(name) is None:
            raise ParameterError(f"the package {name} is missing; run `python -m pip install -r requirements.txt`")


def _check_weights(needed: list[Weights]) -> None:
    """Raise DataError if a file is missing or damaged. Nothing is downloaded without a command of the user."""
    for weights in needed:
        path = weights.path
        download = f"curl --fail --location --create-dirs --output '{path}' {weights.url}"
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; download it ({weights.megabytes} MB) with `{download}`, or copy it from a "
                "machine that has it"
            )
        found = runtime.sha256_of(path)
        if not found.startswith(weights.digest):
            raise DataError(
                f"{path}: damaged: its SHA-256 begins with {found[:_HASH_DIGITS]}, expected {weights.digest}; download "
                f"it again with `{download}`"
            )


# --- images ----------------------------------------------------------------------------------------------------------


def _photos(folder: Path) -> Images:
    """All photos in a folder and its subfolders, in alphabetical order."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of photos")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise DataError(f"{folder}: no files in this folder; expected photos")
    return Images(len(paths), _read(paths), f"photos in {folder}, {SIDE} px")


def _read(paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield the central square of each photo, (SIDE, SIDE, 3) uint8; report and skip files that cannot be used."""
    for path in paths:
        try:
            yield images.decode(runtime.read_bytes(path, images.MAX_BYTES), SIDE).rgb
        except (images.Reject, OSError) as error:
            runtime.note(f"skipped {path}: {getattr(error, 'strerror', None) or error}")


def _test_images(model: Path) -> Images:
    """The test images of the data set that a model was trained on."""
    dataset = files.read_sidecar(model).get("dataset")
    if not dataset:
        raise DataError(f"{model / 'model.json'}: no `dataset`; name a folder of photos")
    split = Split(Folders(runtime.repo_root()).shards("test", dataset))
    rgb = (split.images(np.array([row]))[0] for row in range(len(split)))
    warning = "" if split.size == SIDE else f"; not comparable with other tables, which use {SIDE} px"
    return Images(len(split), rgb, f"test images of {dataset}, {split.size} px{warning}")


# --- command line ----------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/perceptual.py", description="Measure LPIPS and FID of a model.")
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument(
        "photos", nargs="?", type=Path, help="folder of photos (default: the test images of the model's data set)"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="0: the most probable color of each pixel; 1: the mean of all"
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: $COLORIZE_DEVICE, or else cuda if available)")
    return parser


def _report(candidates: list[Candidate], chosen: Images) -> None:
    """Print a table with one line per candidate."""
    count = len(candidates[0].lpips)
    if not count:
        raise DataError(f"{chosen.name}: no image could be used; the reasons are above")
    skipped = f" ({chosen.count - count} skipped)" if count < chosen.count else ""
    width = max(len(candidate.name) for candidate in candidates)
    runtime.say(f"{count:,} {chosen.name}{skipped}", f"{'':{width}}   LPIPS      FID")
    for candidate in candidates:
        fid = candidate.fid()
        runtime.say(
            f"{candidate.name:{width}}  {np.mean(candidate.lpips):.4f}  {'-' if fid is None else f'{fid:.2f}':>7}"
        )
    few = f"FID needs more than {FEATURES:,} images"
    runtime.say(f"lower is better; {few if count <= FEATURES else 'compare FID only for equal numbers of images'}")


if __name__ == "__main__":
    runtime.set_up_process()
    runtime.run(main, sys.argv[1:])
