"""The embedded sample: raw archives built from photographs in installed packages.

A map in the source file divides a photo into tiles and assigns each tile to a split: `.` train, `v` val, `t` test. The
val and test tiles lie between the train tiles. An image is a random square crop of the photo. All tiles that it touches
belong to one split, so that no pixel is in two splits. The sides of the crops have the same distribution in all splits.
The archives have the layouts of the zip of Tiny ImageNet and of the tars of Places. So the default run uses the same
code as a run with the paper's data sets.

The same recipe and the same packages give the same bytes: the recipe's name seeds the random generators, and all time
stamps are constant.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import tarfile
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image as Pillow
from pydantic import Field, field_validator, model_validator

from colorize import runtime
from colorize.archives import disk
from colorize.config.strict_yaml import Section
from colorize.runtime import DataError, ParameterError
from colorize.sharding import images
from colorize.sharding.tiling import SYMBOLS, Box, Tiling, check_map

QUALITY = 95  # JPEG quality; the JPEGs have no chroma subsampling
LABELS = "sample_labels.txt"  # in each archive: name, class and group of its images

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
# the pixels depend on the code of these files and on the versions of these packages
_CODE = [
    Path(__file__).with_name(f"{name}.py")
    for name in ("builtin", "floods", "images", "jpeg", "orientation", "png", "profiles", "tiling", "webp")
]
_PACKAGES = ("numpy", "pillow", "simplejpeg")


class Photo(Section):
    """One photograph and the map from its tiles to the splits."""

    class_name: Annotated[str, Field(alias="class")]  # name of its folder in the archive
    package: Literal["matplotlib", "scipy", "skimage", "sklearn"]  # Python package that contains the photograph
    file: Annotated[str, Field(max_length=200)]  # path of the photograph, relative to the package
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    credit: str
    tiles: Annotated[str, Field(max_length=10_000)]  # the map: one line per row of tiles, one letter per tile

    _is_a_map = field_validator("tiles")(check_map)

    @field_validator("file")
    @classmethod
    def _is_below_the_package(cls, file: str) -> str:
        if Path(file).is_absolute() or ".." in Path(file).parts or not file.isprintable():
            raise ValueError("expected a path below the folder of the package")
        return file


Count = Annotated[int, Field(ge=1, le=1_000_000)]
Side = Annotated[int, Field(ge=16, le=10_000)]  # pixels


class Counts(Section):
    """Images of each split."""

    train: Count
    val: Count
    test: Count


class Recipe(Section):
    """Recipe of one data set of the sample: the key `sample` of a source file."""

    name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)
    ]  # names the archives and seeds the random generators
    layout: Literal["tiny_imagenet", "places"]
    size: Annotated[int, Field(ge=16, le=1024)]  # side of the images, pixels
    smallest: Side  # smallest and largest side of the crops, in pixels of the photo
    largest: Side
    counts: Counts
    gray: Annotated[int, Field(ge=0, le=1_000_000)]  # training images stored without color; 2 % in Tiny ImageNet
    photos: Annotated[dict[str, Photo], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_sides(self) -> "Recipe":
        if self.smallest > self.largest:
            raise ValueError(f"smallest is {self.smallest}, expected at most the value of largest, {self.largest}")
        return self

    @property
    def files(self) -> list[str]:
        """Names of the archives."""
        if self.layout == "tiny_imagenet":
            return [f"{self.name}.zip"]
        return [f"{self.name}_{split}.tar" for split in SYMBOLS]


Crops = Callable[[str], Iterator[tuple["Crop", bytes]]]  # split -> its crops as JPEG files


def build(recipe: Recipe, folder: Path) -> dict[str, Path]:
    """Build the archives of one data set if they are missing or if the recipe, the code or a package has changed.

    Args:
        recipe: photographs, splits and sizes.
        folder: folder of the raw archives.

    Returns:
        The path of each archive, by file name.

    Raises:
        DataError: a photograph is missing or has another SHA-256 than expected, or the folder cannot be written.
        ParameterError: the largest crops do not fit into the tiles of a split.
    """
    paths = {name: folder / name for name in recipe.files}
    if _is_built(recipe, paths):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with disk.locked(folder / recipe.name):
            if not _is_built(recipe, paths):  # another process may have been faster
                _write_archives(recipe, paths)
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror or error}; the archives of the sample cannot be written to this folder"
        ) from error
    return paths


def _write_archives(recipe: Recipe, paths: dict[str, Path]) -> None:
    photos = {name: images.open_rgb(read_photo(photo)) for name, photo in recipe.photos.items()}
    tilings = {name: Tiling(recipe.photos[name].tiles, *photo.size) for name, photo in photos.items()}
    check_sides(recipe, tilings)
    crops = functools.partial(_crops, recipe, photos, tilings)
    marker = _marker(recipe, paths)
    marker.unlink(missing_ok=True)
    total = sum(recipe.counts.model_dump().values())
    with runtime.progress(f"build {recipe.name}", total, "images") as advance:
        {"tiny_imagenet": _write_tiny_imagenet, "places": _write_places}[recipe.layout](recipe, paths, crops, advance)
    runtime.write_json(marker, _state(recipe, paths))  # written last: without it, the archives count as unfinished


def _marker(recipe: Recipe, paths: dict[str, Path]) -> Path:
    return next(iter(paths.values())).with_name(f"{recipe.name}.built")


def _state(recipe: Recipe, paths: dict[str, Path]) -> dict:
    return {
        "recipe": hashlib.sha256(recipe.model_dump_json().encode()).hexdigest(),
        "code": {file.name: runtime.sha256_of(file) for file in _CODE},
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "bytes": {name: path.stat().st_size for name, path in paths.items()},
    }


def _is_built(recipe: Recipe, paths: dict[str, Path]) -> bool:
    try:
        return json.loads(_marker(recipe, paths).read_text()) == _state(recipe, paths)
    except (OSError, ValueError):
        return False


# --- photographs -----------------------------------------------------------------------------------------------------


def read_photo(photo: Photo) -> bytes:
    """Read the file of a photograph without importing its package; an import would take seconds.

    Raises:
        DataError: the package or the file is missing, or the file has another SHA-256 than expected.
    """
    spec = importlib.util.find_spec(photo.package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0] if folders else photo.package) / photo.file
    try:
        data = runtime.read_bytes(path, images.MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; run `pip install -r requirements.txt`") from error
    found = hashlib.sha256(data).hexdigest()
    if found != photo.sha256:
        raise DataError(f"{path}: sha256 {found}, expected {photo.sha256}; run `pip install -r requirements.txt`")
    return data


def check_sides(recipe: Recipe, tilings: dict[str, Tiling]) -> None:
    """Check that crops of all sides fit into every component.

    If the large crops fitted into the training tiles only, the sides would have another distribution in val and test.

    Raises:
        ParameterError: the largest crops do not fit; names the photo, the split and the largest side that fits.
    """
    for name, tiling in tilings.items():
        for split in SYMBOLS:
            for component in tiling.components_of(split):
                sides = range(1, recipe.largest + 1)  # if a side fits, smaller sides fit too; 1 always fits
                fitting = bisect_left(sides, True, key=lambda side: not len(tiling.corners(component, side)))
                if fitting < recipe.largest:
                    raise ParameterError(
                        f"sample.largest: {recipe.largest}, but the crops in some {split} tiles of the photo {name} "
                        f"have at most {fitting} pixels per side; lower `largest`, or change the map of the photo"
                    )


class Crop(NamedTuple):
    """One image of the sample."""

    class_name: str
    photo: str
    box: Box
    is_gray: bool
    group: str  # of crops that may share pixels, such as "astronaut-3"


def plan(recipe: Recipe, split: str, tilings: dict[str, Tiling]) -> list[Crop]:
    """Draw the crops of one split, in random order.

    The numbers of crops per photo differ by at most one, and so do those per component of a photo. The side of a crop
    is log-uniform from `smallest` to `largest`.
    """
    seed = int.from_bytes(hashlib.sha256(f"{recipe.name}/{split}".encode()).digest()[:8])
    rng = np.random.default_rng(seed)
    count = getattr(recipe.counts, split)
    names = np.resize(list(recipe.photos), count)[rng.permutation(count)]
    grays = set(rng.permutation(count)[: recipe.gray if split == "train" else 0].tolist())
    components = {name: itertools.cycle(rng.permutation(tilings[name].components_of(split))) for name in recipe.photos}
    crops = []
    for position, name in enumerate(names.tolist()):
        side = round(recipe.smallest * (recipe.largest / recipe.smallest) ** rng.random())
        component = int(next(components[name]))
        box = tilings[name].draw(rng, component, side)
        crops.append(Crop(recipe.photos[name].class_name, name, box, position in grays, f"{name}-{component}"))
    return crops


def _crops(
    recipe: Recipe, photos: dict[str, Pillow.Image], tilings: dict[str, Tiling], split: str
) -> Iterator[tuple[Crop, bytes]]:
    """The crops of one split as JPEG files."""
    for crop in plan(recipe, split, tilings):
        yield crop, _encode(photos[crop.photo], crop, recipe.size)


def _encode(photo: Pillow.Image, crop: Crop, size: int) -> bytes:
    left, top, side = crop.box
    # The photo is cropped before resizing. Otherwise the filter would also read pixels outside the crop, which may
    # belong to another split.
    square = photo.crop((left, top, left + side, top + side))
    if crop.is_gray:
        square = square.convert("L").convert("RGB")
    rgb = images.fit_square(square, size)  # (size, size, 3)
    if crop.is_gray:
        gray = np.ascontiguousarray(rgb[:, :, :1])
        return simplejpeg.encode_jpeg(gray, QUALITY, colorspace="GRAY", colorsubsampling="Gray")
    return simplejpeg.encode_jpeg(rgb, QUALITY, colorspace="RGB", colorsubsampling="444")


# --- layouts ---------------------------------------------------------------------------------------------------------


def _write_tiny_imagenet(recipe: Recipe, paths: dict[str, Path], crops: Crops, advance: Callable[[int], None]) -> None:
    """Write one zip. Train: a folder of images and a file of boxes per class. Val and test: a folder of images each."""
    (path,) = paths.values()
    with runtime.atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        root = "tiny-imagenet-200/"
        classes = sorted({photo.class_name for photo in recipe.photos.values()})
        _add_zipped(archive, root + "wnids.txt", "".join(f"{name}\n" for name in classes).encode())
        numbers = dict.fromkeys(classes, 0)
        boxes = dict.fromkeys(classes, "")
        labels = ""
        for crop, data in crops("train"):
            name = f"{crop.class_name}_{numbers[crop.class_name]}.JPEG"
            numbers[crop.class_name] += 1
            boxes[crop.class_name] += f"{name}\t{_whole(recipe)}\n"
            labels += _label(f"{root}train/{crop.class_name}/images/{name}", crop)
            _add_zipped(archive, f"{root}train/{crop.class_name}/images/{name}", data)
            advance(1)
        for name, lines in boxes.items():
            _add_zipped(archive, f"{root}train/{name}/{name}_boxes.txt", lines.encode())
        annotations = ""
        for split in ("val", "test"):
            for number, (crop, data) in enumerate(crops(split)):
                labels += _label(f"{root}{split}/images/{split}_{number}.JPEG", crop)
                _add_zipped(archive, f"{root}{split}/images/{split}_{number}.JPEG", data)
                annotations += f"val_{number}.JPEG\t{crop.class_name}\t{_whole(recipe)}\n" if split == "val" else ""
                advance(1)
        _add_zipped(archive, root + "val/val_annotations.txt", annotations.encode())
        _add_zipped(archive, LABELS, labels.encode())


def _label(name: str, crop: Crop) -> str:
    """The line of `LABELS` for one image."""
    return f"{name}\t{crop.class_name}\t{crop.group}\n"


def _whole(recipe: Recipe) -> str:
    """Coordinates of a bounding box that contains the whole image, separated by tabs."""
    return f"0\t0\t{recipe.size - 1}\t{recipe.size - 1}"


def _add_zipped(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=1)


def _write_places(recipe: Recipe, paths: dict[str, Path], crops: Crops, advance: Callable[[int], None]) -> None:
    """Three tars: for train, one folder per class; for val and test, one folder without classes."""
    for split, path in zip(SYMBOLS, paths.values(), strict=True):
        numbers: dict[str, int] = {}
        labels = ""
        with runtime.atomic_write(path) as file, _tar(file) as archive:
            for number, (crop, data) in enumerate(crops(split), start=1):
                numbers[crop.class_name] = numbers.get(crop.class_name, 0) + 1
                if split == "train":
                    name = f"data_256/{crop.class_name}/{numbers[crop.class_name]:08d}.jpg"
                else:
                    name = f"{split}_256/Places365_{split}_{number:08d}.jpg"
                labels += _label(name, crop)
                _add_to_tar(archive, name, data)
                advance(1)
            _add_to_tar(archive, LABELS, labels.encode())


def _add_to_tar(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _tar(file: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)
