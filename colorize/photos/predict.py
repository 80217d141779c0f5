"""A photo of any size in, its colors out: the full-size L is kept, ab is predicted at the network's size.

    colorizer = colorize.load("data/models/objects-unet")
    rgb = colorizer(Image.open("photo.jpg"))        # (H, W, 3) uint8

The network sees the photo at `size` pixels on its short side; its ab is enlarged bilinearly, which adds no color that
was not predicted, and joined to the photo's own L. Colors that sRGB cannot show lose chroma, never L or hue. All
full-size work is done in strips, so that a photo of 24 megapixels needs a few hundred MB.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from colorize import runtime
from colorize.color import cielab
from colorize.models import files, output
from colorize.models.contract import Classifier, Network
from colorize.runtime import DataError, ParameterError

DEFAULT_TEMPERATURE = 0.38  # Zhang et al. (2016): the mode, which the paper takes, leaves hard edges within a surface
SIZES = (16, 1024)  # pixels; logits of 313 bins at 1024 x 1024 are 1.3 GB
_FINER = 2  # the default size, in sizes of training: finer borders of color, with scenery still as in training
_MAX_RATIO = 4  # of the sides that the network sees; longer panoramas are squeezed, or they would not fit into memory
_STRIP_PIXELS = 1 << 17  # small enough for a processor's cache


class Colorized(NamedTuple):
    """A photo in color."""

    rgb: np.ndarray  # (H, W, 3) uint8 sRGB
    fitted_fraction: float  # of the pixels whose color had to lose chroma to fit into sRGB


def load(
    path: Path | str, device: str | None = None, size: int | None = None, temperature: float | None = None
) -> Colorizer:
    """See `colorize.load`; its errors are each a DataError (the model) or a ParameterError (an option)."""
    device = runtime.choose_device(device)
    with torch.random.fork_rng(devices=[]):  # a fresh model draws random weights, which the saved ones replace
        model, sidecar = files.load(Path(path), device)
    return Colorizer(model, sidecar["model"], sidecar["size"], device, size, temperature)


class Colorizer:
    """A trained model to call with an image.

    Args:
        model: in evaluation mode, on the device.
        name: of the model, such as `unet`.
        training_size: side of the images that the model was trained on, pixels.
        device: of the model.
        size: short side of the image that the network reads, pixels; by default that of the photo, but at least the
            training size and at most twice the training size.
        temperature: of the annealed mean, in [0, 1]: 0 is the mode, as in the paper; 1 is the mean; by default 0.38.
            A regression model has none.

    Raises:
        ParameterError: the size or the temperature cannot be used.
    """

    def __init__(
        self,
        model: Network,
        name: str,
        training_size: int,
        device: str = "cpu",
        size: int | None = None,
        temperature: float | None = None,
    ):
        if size is not None and not SIZES[0] <= size <= SIZES[1]:
            raise ParameterError(f"size {size}: expected {SIZES[0]} to {SIZES[1]} pixels")
        if temperature is not None and not 0 <= temperature <= 1:
            raise ParameterError(f"temperature {temperature}: expected 0 (the mode) to 1 (the mean)")
        if temperature is not None and not isinstance(model, Classifier):
            raise ParameterError(f"temperature {temperature}: a {name} model has no temperature; leave it out")
        self._model = model
        self._device = device
        self._training_size = training_size
        self._size = size
        # to_ab_norm takes None for the mode
        self._temperature = (DEFAULT_TEMPERATURE if temperature is None else temperature) or None

    def __call__(self, image: Pillow.Image | np.ndarray) -> np.ndarray:
        """Color an image. Only its L is used, even if it has colors.

        Args:
            image: Pillow image of mode RGB or L, turned upright by its EXIF orientation, or an array (H, W, 3) or
                (H, W) of uint8; sRGB. `colorize.sharding.images.open_rgb` converts any other file to such an image.

        Returns:
            (H, W, 3) uint8 sRGB with the L of the image.

        Raises:
            ValueError: the image has another type or shape, or the model's colors are not finite.
        """
        return self.colorize(image).rgb

    @torch.inference_mode()
    def colorize(self, image: Pillow.Image | np.ndarray, advance: Callable[[int], None] | None = None) -> Colorized:
        """Like a call, and report the share of pixels whose colors were outside sRGB.

        Args:
            image: as for a call.
            advance: called now and then with the number of rows done since the last call.

        Returns:
            the photo in color.

        Raises:
            ValueError: as for a call.
        """
        rgb = _to_rgb(image)
        return _join(rgb, self._predict(rgb), advance or (lambda n: None))

    @torch.inference_mode()
    def predict_ab(self, image: Pillow.Image | np.ndarray) -> np.ndarray:
        """The colors alone, as the network predicts them: before they are enlarged and fitted into sRGB.

        Args:
            image: as for a call.

        Returns:
            (h, w, 2) float32 ab, CIELAB units, covering the whole image; h and w are the network's.

        Raises:
            ValueError: as for a call.
        """
        return self._predict(_to_rgb(image)).movedim(0, -1).cpu().numpy()

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network sees an image of the given ones."""
        short = min(height, width)
        size = self._size or min(max(short, self._training_size), _FINER * self._training_size)
        step = self._model.multiple_of
        sides = (min(size * side / short, size * _MAX_RATIO) for side in (height, width))
        height, width = (max(1, round(side / step)) * step for side in sides)
        return height, width

    def _predict(self, rgb: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 -> (2, h, w) ab, CIELAB units, on the device."""
        height, width = self.network_size(*rgb.shape[:2])
        # The filters of training. Resizing RGB and not L, as there.
        method = Pillow.Resampling.HAMMING if height < rgb.shape[0] else Pillow.Resampling.BICUBIC
        small = np.array(Pillow.fromarray(rgb).resize((width, height), method))
        lab = cielab.rgb_to_lab(torch.from_numpy(small).to(self._device).movedim(-1, 0)[None])  # (1, 3, h, w)
        L_norm = cielab.split_lab(lab)[0].contiguous(memory_format=torch.channels_last)
        predicted = self._model(L_norm)
        if not predicted.sum().isfinite():  # one NaN or infinity is enough; a mode would hide it
            raise DataError("the model's colors are not finite: its weights are too large; train it again")
        # At the size of the output, which of the cnn is half: bilinear enlarging must not meet nearest's blocks.
        return output.to_ab_norm(predicted, predicted.shape[-2:], self._temperature)[0] * cielab.AB_SCALE


def _to_rgb(image: Pillow.Image | np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of whatever the caller has."""
    if isinstance(image, Pillow.Image):
        if image.mode not in ("RGB", "L"):
            raise ValueError(
                f"image of mode {image.mode}: expected RGB or L; colorize.sharding.images.open_rgb(bytes) converts "
                "any file"
            )
        image = np.asarray(ImageOps.exif_transpose(image))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__}: expected a Pillow image or an array; open a file with Pillow first")
    is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_shaped or image.size == 0:
        raise ValueError(f"array {image.shape} of {image.dtype}: expected (H, W, 3) or (H, W) of uint8")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _join(rgb: np.ndarray, ab: Tensor, advance: Callable[[int], None]) -> Colorized:
    """The L of (H, W, 3) uint8 with the colors (2, h, w), strip by strip."""
    height, width = rgb.shape[:2]
    colored = np.empty((height, width, 3), np.uint8)
    enlarge = _RowEnlarger(ab, height, width)
    rows = max(1, _STRIP_PIXELS // width)
    num_fitted = 0
    for top in range(0, height, rows):
        strip = np.array(rgb[top : top + rows])  # torch takes neither read-only nor mirrored arrays
        lab = cielab.rgb_to_lab(torch.from_numpy(strip).to(ab.device).movedim(-1, 0))  # (3, rows, W)
        lab[1:] = enlarge(top, top + len(strip))
        lab, is_fitted = cielab.fit_to_gamut(lab)
        colored[top : top + rows] = cielab.lab_to_rgb(lab).movedim(0, -1).cpu().numpy()
        num_fitted += int(is_fitted.sum())
        advance(len(strip))
    return Colorized(colored, num_fitted / (height * width))


class _RowEnlarger:
    """Bilinear enlarging to (H, W) that makes only the rows asked for, the same whatever the strips are."""

    def __init__(self, ab: Tensor, height: int, width: int):
        rows = min(ab.shape[1], height)  # a photo may be smaller than what the network sees: averaged, not enlarged
        self._ab = torch.nn.functional.interpolate(ab[None], (rows, width), mode="bilinear", antialias=True)[0]
        # As F.interpolate: pixels are areas, hence the halves, and the border rows are repeated.
        position = ((torch.arange(height, device=ab.device) + 0.5) * rows / height - 0.5).clamp(0, rows - 1)  # (H,)
        self._above = position.long()
        self._below = (self._above + 1).clamp(max=rows - 1)
        self._share = position - self._above

    def __call__(self, start: int, stop: int) -> Tensor:
        """(2, stop - start, W)."""
        above, below = self._ab[:, self._above[start:stop]], self._ab[:, self._below[start:stop]]
        return torch.lerp(above, below, self._share[start:stop, None])
