"""Color photos of any size: the network predicts ab at its own size, and the photo keeps its full-size L.

    colorizer = colorize.load("data/models/objects-unet-0")
    rgb = colorizer("photo.jpg")        # (H, W, 3) uint8

The network reads the photo with a short side of `size` pixels. The predicted ab is enlarged bilinearly, so that its
values stay in the predicted range, and joined with the photo's L (join.py). The chroma of colors outside sRGB is
reduced; L and hue stay the same.
"""

from __future__ import annotations

import functools
import os
import reprlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from colorize import runtime
from colorize.color import cielab
from colorize.models import files, output
from colorize.photos import decode, photo
from colorize.photos.photo import Photo
from colorize.runtime import DataError, ParameterError
from colorize.sharding import images

if TYPE_CHECKING:
    from colorize.photos.join import Planes

DEFAULT_TEMPERATURE = 0.38  # Zhang et al. (2016); the mode, as in the paper, gives hard color edges within a surface
SIZES = (16, 1024)  # pixels
STRENGTHS = (0.0, 2.0)
FINER = 2  # largest default size / training size; it gives finer color borders, and objects look as in training
MAX_RATIO = 4  # largest aspect ratio of the network's input; longer panoramas are squeezed to save memory
_BATCH_PIXELS = {"cuda": 1 << 19}  # of the network's input in a batch; on a CPU, batches of one photo are as fast

Image = str | os.PathLike | bytes | bytearray | memoryview | Pillow.Image | np.ndarray | Photo


class Predictor(Protocol):
    """A network of any kind: (B, 1, H, W) L_norm -> logits of the bins or ab_norm, as in `colorize.models.contract`."""

    multiple_of: int  # H and W must be multiples of this number

    def __call__(self, L_norm: Tensor, /) -> Tensor:
        """(B, 1, H, W) -> (B, Q, h, w) logits, or (B, 2, H, W) ab_norm."""


class Prediction(NamedTuple):
    """What the network says about one photo, at the size of its output."""

    ab: Tensor  # (2, h, w) float32, CIELAB units, on the model's device
    entropy: np.ndarray | None  # (h, w) float32, nats; None for a regression, and if it was not asked for


class Colorized(NamedTuple):
    """A photo in color; one of `rgb` and `planes` is None."""

    rgb: np.ndarray | None  # (H, W, 3) sRGB, uint8, or uint16 for a photo of 16 bits
    planes: Planes | None  # YCbCr with chroma at half size, for the layout `yuv420`
    fitted_fraction: float  # fraction of pixels whose chroma was reduced to fit into sRGB
    prediction: Prediction


def load(
    path: Path | str,
    device: str | None = None,
    size: int | None = None,
    temperature: float | None = None,
    strength: float = 1.0,
) -> Colorizer:
    """See `colorize.load`. The ValueError is a DataError for a bad model, a ParameterError for a bad option."""
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path {_shown(path)}: expected the path of a model's folder")
    if os.path.isfile(path):  # noqa: PTH113 - raises no error for a name that is too long
        raise DataError(f"{os.fspath(path)}: expected the folder of a trained model, or a file that ends with .onnx")
    name = chosen_device(device)
    with torch.random.fork_rng(devices=[]):  # building a model uses random numbers for weights, which are then replaced
        model, sidecar = files.load(Path(path), name)
    digest = sidecar["weights_sha256"]
    return Colorizer(model, sidecar["model"], sidecar["size"], name, size, temperature, strength, digest)


def chosen_device(device: object) -> str:
    """The name of the device to load a model to.

    Raises:
        ParameterError: the device has another type than a name, or cannot be used on this machine.
    """
    if device is not None and not isinstance(device, str | torch.device):
        raise ParameterError(f"device {_shown(device)}: expected a name, such as `cpu` or `cuda:1`")
    return runtime.choose_device(None if device is None else str(device))


class Colorizer:
    """A trained model to call with images. Several threads may use it at the same time.

    Args:
        model: the network, in evaluation mode and on `device`.
        name: name of the model, such as `unet`.
        training_size: side of the training images, pixels.
        device: device of the model.
        size: short side of the network's input, pixels. By default the short side of the photo, but at least the
            training size and at most twice the training size.
        temperature: temperature of the annealed mean, in [0, 1]: 0 is the mode (as in the paper), 1 is the mean.
            Default: 0.38. A regression model accepts only None.
        strength: factor of the predicted ab, in [0, 2]: 0 gives a gray photo, 1 the predicted colors.
        sha256: SHA-256 of the model's weights.

    Attributes:
        name, sha256, size, strength: as above.
        temperature: the temperature in effect; None for a regression.

    Raises:
        ParameterError: the size, the temperature or the strength cannot be used.
    """

    def __init__(
        self,
        model: Predictor,
        name: str,
        training_size: int,
        device: str = "cpu",
        size: int | None = None,
        temperature: float | None = None,
        strength: float = 1.0,
        sha256: str = "",
    ):
        if size is not None and not (_is_number(size, Integral) and SIZES[0] <= size <= SIZES[1]):
            raise ParameterError(f"size {_shown(size)}: expected {SIZES[0]} to {SIZES[1]} pixels")
        if temperature is not None and not (_is_number(temperature, Real) and 0 <= temperature <= 1):
            raise ParameterError(f"temperature {_shown(temperature)}: expected 0 (the mode) to 1 (the mean)")
        if not (_is_number(strength, Real) and STRENGTHS[0] <= strength <= STRENGTHS[1]):
            raise ParameterError(f"strength {_shown(strength)}: expected 0 (gray) to 2; 1 gives the predicted colors")
        self.name, self.sha256, self.size, self.strength = name, sha256, size, float(strength)
        self._model, self._device, self._training_size = model, device, training_size
        if temperature is not None and not self._predicts_distributions():
            raise ParameterError(f"temperature {temperature}: a {name} model has no temperature; leave it out")
        self.temperature = temperature
        if temperature is None and self._predicts_distributions():
            self.temperature = DEFAULT_TEMPERATURE

    @overload
    def __call__(self, image: Image) -> np.ndarray: ...
    @overload
    def __call__(self, image: list[Image] | tuple[Image, ...]) -> list[np.ndarray]: ...
    def __call__(self, image: Image | list[Image] | tuple[Image, ...]) -> np.ndarray | list[np.ndarray]:
        """Color an image or a list of images. Only their L is used, even if they have colors.

        Args:
            image: the path or the content of a file; or an image in sRGB: a Pillow image, whose EXIF orientation is
                applied, or an array (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16. Or a list of all these.

        Returns:
            (H, W, 3) uint8 sRGB, or uint16 for gray of 16 bits, that keeps the L of the image. Alpha is not returned:
            the network sees the image on white, and the result has the colors of all pixels, transparent ones too. For
            a list, a list.

        Raises:
            ValueError: an image cannot be read or has another type or shape, or the model's colors are not finite.
        """
        if isinstance(image, list | tuple):
            photos = [_photo_of(one) for one in image]
            return [_rgb(self.join(*pair)) for pair in zip(photos, self.predict(photos), strict=True)]
        return _rgb(self.colorize(image))

    def colorize(self, image: Image, advance: Callable[[int], None] | None = None) -> Colorized:
        """Color an image like `__call__`; also return the prediction and the fraction of colors outside sRGB.

        Args:
            image: as for `__call__`, but not a list.
            advance: called after each band of rows with their number, for a progress display.

        Returns:
            the colored image, with `rgb`.

        Raises:
            ValueError: as for `__call__`.
        """
        one = _photo_of(image)
        return self.join(one, self.predict([one])[0], advance=advance)

    def predict_ab(self, image: Image) -> np.ndarray:
        """Predict only ab: the output of the network, without strength, not enlarged and not fitted into sRGB.

        Args:
            image: as for `__call__`, but not a list.

        Returns:
            (h, w, 2) float32 ab of the whole image, CIELAB units; h and w are the sides of the network's output.

        Raises:
            ValueError: as for `__call__`.
        """
        return self.predict([_photo_of(image)])[0].ab.movedim(0, -1).cpu().numpy()

    @torch.inference_mode()
    def predict(self, photos: Sequence[Photo], entropy: bool = False) -> list[Prediction]:
        """Predict ab of several photos; on a GPU, those with the same size of the network's input form batches.

        On a CPU, the result for a photo does not depend on the others. On a GPU, the last digits of ab may.

        Args:
            photos: the photos.
            entropy: also return the entropy of the predicted distributions.

        Returns:
            one prediction per photo, in the same order.

        Raises:
            DataError: the model's colors are not finite.
        """
        found: dict[int, Prediction] = {}
        for numbers in self._batches([self.network_size(*one.pixels.shape[:2]) for one in photos]):
            inputs = [self._network_input(photos[number]) for number in numbers]
            L_norm = torch.cat(inputs).contiguous(memory_format=torch.channels_last)  # (B, 1, h, w)
            found |= zip(numbers, self._run(L_norm, entropy), strict=True)
        return [found[number] for number in range(len(photos))]

    def join(
        self,
        photo: Photo,
        prediction: Prediction,
        layout: str = "rgb",
        advance: Callable[[int], None] | None = None,
        threads: int | None = None,
    ) -> Colorized:
        """Join the L of a photo with its prediction, multiplied by the strength.

        Args:
            photo: the photo.
            prediction: what `predict` returned for it.
            layout: `rgb`, or `yuv420` for YCbCr planes with chroma at half size.
            advance: called after each band of rows with their number.
            threads: number of threads; by default, as many as torch uses.

        Returns:
            the photo in color. The bytes do not depend on `threads`.
        """
        from colorize.photos import join  # it imports Numba, which takes half a second; not all callers need it

        ab = prediction.ab * self.strength
        joined = join.join(photo.pixels, ab, layout, advance or (lambda rows: None), threads)
        return Colorized(*joined, prediction)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input, pixels, for an image of the given height and width."""
        short = min(height, width)
        size = self.size or min(max(short, self._training_size), FINER * self._training_size)
        step = self._model.multiple_of
        sides = (min(size * side / short, size * MAX_RATIO) for side in (height, width))
        height, width = (max(1, round(side / step)) * step for side in sides)
        return height, width

    @torch.inference_mode()
    def _predicts_distributions(self) -> bool:
        side = 2 * self._model.multiple_of
        return output.is_distribution(self._model(torch.zeros(1, 1, side, side, device=self._device)))

    def _batches(self, sizes: list[tuple[int, int]]) -> list[list[int]]:
        """Numbers of the photos of each batch: equal sizes of the network's input, in the order of the photos."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for number, size in enumerate(sizes):
            by_size.setdefault(size, []).append(number)
        limit = _BATCH_PIXELS.get(torch.device(self._device).type, 0)
        batches = []
        for (height, width), numbers in by_size.items():
            length = max(1, limit // (height * width))
            batches += [numbers[start : start + length] for start in range(0, len(numbers), length)]
        return batches

    def _network_input(self, photo: Photo) -> Tensor:
        """L_norm of a photo, (1, 1, h, w), on the device."""
        small = torch.from_numpy(_resized(photo, *self.network_size(*photo.pixels.shape[:2]))).to(self._device)
        if small.ndim == 2:
            return _lightness_of_gray(small.device)[small.int()][None, None]
        return cielab.split_lab(cielab.rgb_to_lab(small[None]))[0]

    def _run(self, L_norm: Tensor, entropy: bool) -> list[Prediction]:
        ab, entropies = decode.decode(self._model, L_norm, self.temperature, entropy)
        maps = [None] * len(ab) if entropies is None else list(entropies.cpu().numpy())  # (h, w) each
        return [Prediction(*pair) for pair in zip(ab, maps, strict=True)]


def _photo_of(image: Image) -> Photo:
    """Read or check an image of the caller."""
    if isinstance(image, Photo):
        return image
    try:
        if isinstance(image, str | os.PathLike):
            return photo.read(runtime.read_bytes(os.fspath(image), images.MAX_BYTES))
        if isinstance(image, bytes | bytearray | memoryview):
            return photo.read(bytes(image))
    except images.Reject as reject:
        named = f"{_shown(image)}: " if isinstance(image, str | os.PathLike) else ""
        raise DataError(f"{named}cannot be used as a photo: {reject.reason}") from None
    except OSError as error:
        raise DataError(runtime.explain_os_error(error)) from None
    return photo.from_pixels(image)


def _rgb(result: Colorized) -> np.ndarray:
    assert result.rgb is not None  # the layout is `rgb`
    return result.rgb


@functools.lru_cache
@torch.inference_mode(False)  # cached tensors must be normal tensors even if first requested in inference mode
def _lightness_of_gray(device: torch.device) -> Tensor:
    """(256,) float32: L_norm of every gray level."""
    levels = torch.arange(256, dtype=torch.uint8, device=device)
    return cielab.split_lab(cielab.rgb_to_lab(levels.expand(1, 3, 1, 256)))[0].flatten()


def _resized(photo: Photo, height: int, width: int) -> np.ndarray:
    """What the network sees of a photo, (height, width) or (3, height, width) uint8 sRGB.

    The same resizing as for the training images: the same filters, on levels of sRGB and not on L. Pillow resizes each
    channel by itself, so a gray photo needs only one, and several threads can share the channels of others.
    """
    pixels = photo.seen()
    method = Pillow.Resampling.HAMMING if height < len(pixels) else Pillow.Resampling.BICUBIC

    def resize(channel: np.ndarray) -> np.ndarray:
        return np.asarray(Pillow.fromarray(np.ascontiguousarray(channel)).resize((width, height), method))

    if pixels.ndim == 2:
        return np.array(resize(pixels))
    threads = min(3, torch.get_num_threads())
    with ThreadPoolExecutor(threads) as pool:  # starts its threads with the first task
        return np.stack(list((pool.map if threads > 1 else map)(resize, np.moveaxis(pixels, -1, 0))))


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A wrong value for a message: short, because a caller may pass the content of a file."""
    return str(value) if isinstance(value, int | float) else reprlib.repr(value)
