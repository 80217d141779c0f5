"""Color photos of any size: the network predicts ab at its own size, and the photo keeps its full-size L.

    colorizer = colorize.load("data/models/objects-unet-0")
    rgb = colorizer(Image.open("photo.jpg"))        # (H, W, 3) uint8

The network reads the photo with a short side of `size` pixels. The predicted ab is enlarged bilinearly, so that its
values stay in the predicted range, and combined with the photo's L. The chroma of colors outside sRGB is reduced; L and
hue stay the same. All full-size work is done in strips, so that a photo of 24 megapixels needs a few hundred MB.
"""

from __future__ import annotations

import os
import reprlib
import struct
from collections.abc import Callable
from numbers import Integral, Real
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

DEFAULT_TEMPERATURE = 0.38  # Zhang et al. (2016); the mode, as in the paper, gives hard color edges within a surface
SIZES = (16, 1024)  # pixels; logits of 313 bins at 1024 x 1024 are 1.3 GB
_FINER = 2  # largest default size / training size; it gives finer color borders, and objects look as in training
_MAX_RATIO = 4  # largest aspect ratio of the network's input; longer panoramas are squeezed to save memory
_STRIP_PIXELS = 1 << 17  # pixels of one strip; small enough for the CPU's cache


class Colorized(NamedTuple):
    """A photo in color."""

    rgb: np.ndarray  # (H, W, 3) uint8 sRGB
    fitted_fraction: float  # fraction of pixels whose chroma was reduced to fit into sRGB


def load(
    path: Path | str, device: str | None = None, size: int | None = None, temperature: float | None = None
) -> Colorizer:
    """See `colorize.load`. The ValueError is a DataError for a bad model, a ParameterError for a bad option."""
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path {_shown(path)}: expected the path of a model's folder")
    if device is not None and not isinstance(device, str | torch.device):
        raise ParameterError(f"device {_shown(device)}: expected a name, such as `cpu` or `cuda:1`")
    device = runtime.choose_device(device and str(device))
    with torch.random.fork_rng(devices=[]):  # building a model uses random numbers for weights, which are then replaced
        model, sidecar = files.load(Path(path), device)
    return Colorizer(model, sidecar["model"], sidecar["size"], device, size, temperature)


class Colorizer:
    """A trained model to call with an image.

    Args:
        model: the network, in evaluation mode and on `device`.
        name: name of the model, such as `unet`.
        training_size: side of the training images, pixels.
        device: device of the model.
        size: short side of the network's input, pixels. By default the short side of the photo, but at least the
            training size and at most twice the training size.
        temperature: temperature of the annealed mean, in [0, 1]: 0 is the mode (as in the paper), 1 is the mean.
            Default: 0.38. A regression model accepts only None.

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
        if size is not None and not (_is_number(size, Integral) and SIZES[0] <= size <= SIZES[1]):
            raise ParameterError(f"size {_shown(size)}: expected {SIZES[0]} to {SIZES[1]} pixels")
        if temperature is not None and not (_is_number(temperature, Real) and 0 <= temperature <= 1):
            raise ParameterError(f"temperature {_shown(temperature)}: expected 0 (the mode) to 1 (the mean)")
        if temperature is not None and not isinstance(model, Classifier):
            raise ParameterError(f"temperature {temperature}: a {name} model has no temperature; leave it out")
        self._model = model
        self._device = device
        self._training_size = training_size
        self._size = size
        # to_ab_norm takes None for the mode
        self._temperature = (DEFAULT_TEMPERATURE if temperature is None else temperature) or None

    def __call__(self, image: Pillow.Image | np.ndarray) -> np.ndarray:
        """Color an image. Only its L is used, even if the image has colors.

        Args:
            image: sRGB; a Pillow image of mode RGB or L, whose EXIF orientation is applied, or a uint8 array (H, W, 3)
                or (H, W). `colorize.sharding.images.open_rgb` converts any image file to such an image.

        Returns:
            (H, W, 3) uint8 sRGB that keeps the L of the image.

        Raises:
            ValueError: the image has another type or shape, or the model's colors are not finite.
        """
        return self.colorize(image).rgb

    @torch.inference_mode()
    def colorize(self, image: Pillow.Image | np.ndarray, advance: Callable[[int], None] | None = None) -> Colorized:
        """Color an image like `__call__`, and also return the fraction of pixels whose colors were outside sRGB.

        Args:
            image: as for `__call__`.
            advance: called after each strip with the number of its rows, for a progress display.

        Returns:
            the colored image and this fraction.

        Raises:
            ValueError: as for `__call__`.
        """
        rgb = _to_rgb(image)
        return _join(rgb, self._predict(rgb), advance or (lambda n: None))

    @torch.inference_mode()
    def predict_ab(self, image: Pillow.Image | np.ndarray) -> np.ndarray:
        """Predict only ab: the output of the network, not enlarged and not fitted into sRGB.

        Args:
            image: as for `__call__`.

        Returns:
            (h, w, 2) float32 ab of the whole image, CIELAB units; h and w are the sides of the network's output.

        Raises:
            ValueError: as for `__call__`.
        """
        return self._predict(_to_rgb(image)).movedim(0, -1).cpu().numpy()

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input, pixels, for an image of the given height and width."""
        short = min(height, width)
        size = self._size or min(max(short, self._training_size), _FINER * self._training_size)
        step = self._model.multiple_of
        sides = (min(size * side / short, size * _MAX_RATIO) for side in (height, width))
        height, width = (max(1, round(side / step)) * step for side in sides)
        return height, width

    def _predict(self, rgb: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 -> (2, h, w) ab, CIELAB units, on the device."""
        height, width = self.network_size(*rgb.shape[:2])
        # The same resizing as for the training images: the same filters, on RGB and not on L.
        method = Pillow.Resampling.HAMMING if height < rgb.shape[0] else Pillow.Resampling.BICUBIC
        small = np.array(Pillow.fromarray(rgb).resize((width, height), method))
        lab = cielab.rgb_to_lab(torch.from_numpy(small).to(self._device).movedim(-1, 0)[None])  # (1, 3, h, w)
        L_norm = cielab.split_lab(lab)[0].contiguous(memory_format=torch.channels_last)
        predicted = self._model(L_norm)
        if not predicted.sum().isfinite():  # one NaN or infinity makes the sum non-finite; the mode would hide a NaN
            raise DataError("the model's colors are not finite: its weights are too large; train it again")
        # `to_ab_norm` must not enlarge (the output of the cnn has half the size of its input): it would do so with
        # nearest-neighbor interpolation, and the blocks would stay visible after the bilinear enlarging.
        return output.to_ab_norm(predicted, predicted.shape[-2:], self._temperature)[0] * cielab.AB_SCALE


def _to_rgb(image: Pillow.Image | np.ndarray) -> np.ndarray:
    """Check an image of the caller, and convert it to (H, W, 3) uint8."""
    if isinstance(image, Pillow.Image):
        if image.mode not in ("RGB", "L"):
            raise ValueError(
                f"image of mode {image.mode}: expected RGB or L; colorize.sharding.images.open_rgb(bytes) converts "
                "any file"
            )
        image = _decoded(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__}: expected a Pillow image or an array; open a file with Pillow first")
    is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_shaped or image.size == 0:
        raise ValueError(f"array {image.shape} of {image.dtype}: expected (H, W, 3) or (H, W) of uint8")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _decoded(image: Pillow.Image) -> np.ndarray:
    """The upright pixels. Pillow decodes a file only now, so its errors appear here."""
    try:
        return np.asarray(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, struct.error) as error:  # what Pillow raises for damaged and closed files
        raise ValueError(f"the image cannot be decoded ({runtime.first_line(error)})") from error


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A wrong value for a message: short, because a caller may pass the content of a file."""
    return str(value) if isinstance(value, int | float) else reprlib.repr(value)


def _join(rgb: np.ndarray, ab: Tensor, advance: Callable[[int], None]) -> Colorized:
    """Combine the L of `rgb`, (H, W, 3) uint8, with `ab`, (2, h, w), strip by strip."""
    height, width = rgb.shape[:2]
    colored = np.empty((height, width, 3), np.uint8)
    enlarge = _RowEnlarger(ab, height, width)
    rows = max(1, _STRIP_PIXELS // width)
    num_fitted = 0
    for top in range(0, height, rows):
        strip = np.array(rgb[top : top + rows])  # a copy: torch accepts neither read-only arrays nor negative strides
        lab = cielab.rgb_to_lab(torch.from_numpy(strip).to(ab.device).movedim(-1, 0))  # (3, rows, W)
        lab[1:] = enlarge(top, top + len(strip))
        lab, is_fitted = cielab.fit_to_gamut(lab)
        colored[top : top + rows] = cielab.lab_to_rgb(lab).movedim(0, -1).cpu().numpy()
        num_fitted += int(is_fitted.sum())
        advance(len(strip))
    return Colorized(colored, num_fitted / (height * width))


class _RowEnlarger:
    """Bilinear enlarging to (H, W) that computes only the requested rows; the result does not depend on the strips."""

    def __init__(self, ab: Tensor, height: int, width: int):
        rows = min(ab.shape[1], height)  # a photo smaller than the output: average, do not enlarge
        self._ab = torch.nn.functional.interpolate(ab[None], (rows, width), mode="bilinear", antialias=True)[0]
        # As in F.interpolate: the center of row i is at i + 0.5, and the border rows are repeated.
        position = ((torch.arange(height, device=ab.device) + 0.5) * rows / height - 0.5).clamp(0, rows - 1)  # (H,)
        self._above = position.long()
        self._below = (self._above + 1).clamp(max=rows - 1)
        self._share = position - self._above

    def __call__(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the enlarged ab: (2, stop - start, W)."""
        above, below = self._ab[:, self._above[start:stop]], self._ab[:, self._below[start:stop]]
        return torch.lerp(above, below, self._share[start:stop, None])
