"""The embedded sample: real layouts, no pixel in two splits, the same bytes every time."""

import importlib.metadata
import io
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from colorize.archives import containers
from colorize.data.shards import SPLITS
from colorize.runtime import DataError, ParameterError
from colorize.sharding import builtin, images, sources
from colorize.sharding.tiling import SYMBOLS, Tiling
from tests.helpers.listing import list_images

TRACKED = Path(__file__).parents[2] / "sources"
NAMES = ("objects", "scenes")
TWIN = "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797"


def recipe_of(name: str, **changes) -> builtin.Recipe:
    return sources.load(name, TRACKED).sample.model_copy(update=changes)


def small(name: str, **changes) -> builtin.Recipe:
    return recipe_of(name, counts=builtin.Counts(train=24, val=8, test=8), gray=min(5, recipe_of(name).gray), **changes)


def tilings_of(recipe: builtin.Recipe) -> dict[str, builtin.Tiling]:
    sizes = {name: Pillow.open(io.BytesIO(builtin.read_photo(photo))).size for name, photo in recipe.photos.items()}
    return {name: Tiling(recipe.photos[name].tiles, *size) for name, size in sizes.items()}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("name", NAMES)
def test_no_pixel_serves_two_splits(name):
    """Every crop of the tracked recipe is painted onto its photo, pixel by pixel."""
    recipe = recipe_of(name)
    tilings = tilings_of(recipe)
    painted = {photo: {} for photo in recipe.photos}
    for split in SPLITS:
        for crop in builtin.plan(recipe, split, tilings):
            tiling = tilings[crop.photo]
            mask = painted[crop.photo].setdefault(split, np.zeros((tiling.height, tiling.width), bool))
            left, top, side = crop.box
            assert 0 <= left <= tiling.width - side and 0 <= top <= tiling.height - side
            mask[top : top + side, left : left + side] = True
    for masks in painted.values():
        assert set(masks) == set(SPLITS)
        assert sum(mask.astype(int) for mask in masks.values()).max() == 1


def test_squares_of_a_component_are_those_whose_pixels_all_belong_to_it():
    """Against the plain definition: look at the component of every pixel."""
    tiling = Tiling(".t..\n..v.\nv...", 83, 61)
    rows = np.searchsorted(tiling.row_edges, np.arange(61), "right") - 1
    columns = np.searchsorted(tiling.column_edges, np.arange(83), "right") - 1
    pixels = tiling.components[rows][:, columns]
    for component in np.unique(tiling.components):
        for side in (19, 20, 21, 22):
            windows = np.lib.stride_tricks.sliding_window_view(pixels == component, (side, side)).all(axis=(2, 3))
            top, left = np.nonzero(windows)
            assert tiling.corners(component, side).tolist() == list(map(list, zip(left, top, strict=True)))
    assert len(tiling.corners(tiling.components[0, 1], 20)) and not len(tiling.corners(tiling.components[0, 1], 22))


@pytest.mark.parametrize("name", NAMES)
def test_most_neighbors_of_a_held_out_tile_are_training_tiles(name):
    """So each subject is also in train. No two tiles of one held-out split touch, so each of these tiles is a group."""
    for photo in recipe_of(name).photos.values():
        labels = np.array([list(row) for row in photo.tiles.split()])
        for row, column in np.argwhere(labels != "."):
            around = labels[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert (around == ".").sum() > (around.size - 1) / 2
            assert (around == labels[row, column]).sum() == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", SPLITS)
def test_sides_have_the_same_distribution_in_every_split(name, split):
    """The largest distance from the distribution function is below the 0.1 % limit of Kolmogorov and Smirnov."""
    recipe = recipe_of(name)
    sides = np.array([crop.box.side for crop in builtin.plan(recipe, split, tilings_of(recipe))])
    limits = np.arange(recipe.smallest, recipe.largest) + 0.5  # sides are rounded
    expected = np.log(limits / recipe.smallest) / np.log(recipe.largest / recipe.smallest)
    found = (sides[:, None] < limits).mean(axis=0)
    assert np.abs(found - expected).max() < 1.95 / np.sqrt(len(sides))


@pytest.mark.parametrize("name", NAMES)
def test_held_out_splits_have_enough_groups_of_equal_size(name):
    """Below 30 groups, an interval carries a mark. Each held-out tile is used."""
    recipe = recipe_of(name)
    tilings = tilings_of(recipe)
    for split in ("val", "test"):
        crops = builtin.plan(recipe, split, tilings)
        groups = {(crop.photo, crop.group) for crop in crops}
        tiles = "".join(photo.tiles for photo in recipe.photos.values()).count(SYMBOLS[split])
        assert len(groups) == tiles >= 30
        for photo in recipe.photos:
            sizes = Counter(crop.group for crop in crops if crop.photo == photo).values()
            assert max(sizes) - min(sizes) <= 1


def test_no_photo_is_nearly_the_same_as_another():
    """Such as the two pictures of a stereo camera, of which one could be in train and the other in test."""
    photos = [photo for name in NAMES for photo in recipe_of(name).photos.values()]
    twin = photos[-2].model_copy(update={"file": "data/motorcycle_right.png", "sha256": TWIN})
    assert photos[-2].file == "data/motorcycle_left.png"
    small = [images.open_rgb(builtin.read_photo(photo)).convert("L").resize((16, 16)) for photo in [*photos, twin]]
    alike = np.corrcoef([np.asarray(photo).ravel() for photo in small])
    assert alike[-1, -3] > 0.7  # the twins: the measure can tell
    assert np.triu(alike[:-1, :-1], 1).max() < 0.6


def test_no_photo_is_in_both_data_sets():
    files = [photo.file for name in NAMES for photo in recipe_of(name).photos.values()]
    assert len(set(files)) == len(files) == 8


@pytest.mark.parametrize("name", NAMES)
def test_building_twice_gives_the_same_bytes(name, tmp_path):
    recipe = small(name)
    builtin.build(recipe, tmp_path / "a")
    builtin.build(recipe, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_objects_have_the_layout_of_tiny_imagenet(tmp_path):
    """The patterns that the paper's own data set is read with find every image."""
    (path,) = builtin.build(small("objects"), tmp_path).values()
    tiny = sources.load("tiny_imagenet", TRACKED)
    paths = {"tiny-imagenet-200.zip": path}
    assert [len(members) for members in list_images(tiny, paths).splits.values()] == [24, 8, 8]
    with zipfile.ZipFile(path) as archive:
        root = "tiny-imagenet-200/"
        classes = archive.read(root + "wnids.txt").decode().split()
        boxes = archive.read(f"{root}train/{classes[0]}/{classes[0]}_boxes.txt").decode().splitlines()
        annotations = archive.read(root + "val/val_annotations.txt").decode().splitlines()
        assert boxes[0] == f"{classes[0]}_0.JPEG\t0\t0\t63\t63"
        assert [line.split("\t")[0] for line in annotations] == [f"val_{number}.JPEG" for number in range(8)]
        image = Pillow.open(io.BytesIO(archive.read(root + "test/images/test_0.JPEG")))
    assert (image.format, image.size) == ("JPEG", (64, 64))


def test_scenes_have_the_layout_of_places(tmp_path):
    paths = builtin.build(small("scenes"), tmp_path)
    places = sources.load("places365", TRACKED).model_copy(update={"lists": []})
    renamed = dict(zip(list(places.archives)[:3], paths.values(), strict=True))
    found = list_images(places, renamed).splits
    assert [len(members) for members in found.values()] == [24, 8, 8]
    assert {member.class_name for member in found["train"]} >= {"p/pagoda", "g/garage/indoor"}
    with containers.Reader(renamed["val_256.tar"]) as reader:
        image = Pillow.open(io.BytesIO(reader.read(found["val"][0].entry)))
    assert (image.format, image.size) == ("JPEG", (256, 256))


@pytest.mark.parametrize("name", NAMES)
def test_listed_images_are_those_planned(name, tmp_path):
    """Every image is taken under the image policy; as many are gray as the recipe says."""
    recipe = small(name)
    source = sources.load(name, TRACKED)
    paths = builtin.build(recipe, tmp_path)
    for split, members in list_images(source, paths).splits.items():
        with containers.Reader(paths[source.archive_of(split)]) as reader:
            decoded = [images.decode(reader.read(member.entry), 64) for member in members]
        assert sum(image.is_gray for image in decoded) == (recipe.gray if split == "train" else 0)
        assert {image.note for image in decoded} == {None}


@pytest.mark.parametrize("name", NAMES)
def test_images_of_one_group_are_all_that_may_share_pixels(name, tmp_path):
    """Crops of different groups of a photo have at least a pixel between them, in train as in the held-out splits."""
    source = sources.load(name, TRACKED)
    recipe = source.sample
    photos = {photo: images.open_rgb(builtin.read_photo(entry)) for photo, entry in recipe.photos.items()}
    tilings = {photo: Tiling(recipe.photos[photo].tiles, *picture.size) for photo, picture in photos.items()}
    for split in ("val", "test"):
        crops = builtin.plan(recipe, split, tilings)
        assert len({crop.group for crop in crops}) >= 10
        for one in crops:
            for other in crops:
                if one.photo == other.photo and one.group != other.group:
                    gaps = (one.box.left - other.box.left, one.box.top - other.box.top)
                    sides = [other.box.side if gap > 0 else one.box.side for gap in gaps]
                    assert any(abs(gap) > side for gap, side in zip(gaps, sides, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_listed_images_have_their_class_and_group_in_every_split(name, tmp_path):
    source = sources.load(name, TRACKED).model_copy(update={"sample": small(name)})
    classes = {photo.class_name for photo in source.sample.photos.values()}
    listed = list_images(source, builtin.build(source.sample, tmp_path))
    for members in listed.splits.values():
        assert {member.class_name for member in members} <= classes
        assert all(member.group.rpartition("-")[0] in source.sample.photos for member in members)


def test_crops_show_the_photo(tmp_path):
    """The first test image is its planned box of the photo."""
    recipe = small("objects")
    crop = builtin.plan(recipe, "test", tilings_of(recipe))[0]
    (path,) = builtin.build(recipe, tmp_path).values()
    with zipfile.ZipFile(path) as archive:
        rgb = images.decode(archive.read("tiny-imagenet-200/test/images/test_0.JPEG"), 64).rgb
    left, top, side = crop.box
    photo = images.open_rgb(builtin.read_photo(recipe.photos[crop.photo]))
    expected = images.fit_square(photo.crop((left, top, left + side, top + side)), 64)
    assert np.abs(rgb.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("name", NAMES)
def test_evenly_spaced_picks_show_every_photo(name):
    recipe = recipe_of(name)
    crops = builtin.plan(recipe, "test", tilings_of(recipe))
    for step in (2, 4, 8, 20):
        assert {crop.photo for crop in crops[::step]} == set(recipe.photos)


def test_built_archives_are_kept_until_the_recipe_changes(tmp_path):
    (path,) = builtin.build(small("objects"), tmp_path).values()
    first = path.stat().st_mtime_ns, path.stat().st_ino
    builtin.build(small("objects"), tmp_path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == first
    builtin.build(small("objects", smallest=50), tmp_path)
    assert path.stat().st_ino != first[1] or path.stat().st_mtime_ns != first[0]


@pytest.mark.parametrize("what", ["images.py", "pillow", "simplejpeg"])
def test_archives_are_built_again_when_what_makes_the_pixels_changes(tmp_path, monkeypatch, what):
    (path,) = builtin.build(small("objects"), tmp_path).values()
    first = path.stat().st_ino, path.stat().st_mtime_ns
    if what == "images.py":
        other = tmp_path / "images.py"
        other.write_text("# another policy")
        code = [other if Path(file).name == what else file for file in builtin._CODE]
        monkeypatch.setattr(builtin, "_CODE", code)
    else:
        version = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == what else version(name))
    builtin.build(small("objects"), tmp_path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) != first


def test_damaged_or_unfinished_archives_are_built_again(tmp_path):
    (path,) = builtin.build(small("objects"), tmp_path).values()
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    builtin.build(small("objects"), tmp_path)
    assert path.read_bytes() == whole
    (tmp_path / "objects.built").unlink()  # as after a kill before the marker
    path.write_bytes(b"x" * len(whole))
    builtin.build(small("objects"), tmp_path)
    assert path.read_bytes() == whole


def test_another_photo_than_expected_is_refused_with_the_remedy(tmp_path):
    recipe = small("objects")
    photos = dict(recipe.photos)
    photos["coffee"] = photos["coffee"].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DataError, match=r"coffee\.png.*pip install -r requirements\.txt"):
        builtin.build(recipe.model_copy(update={"photos": photos}), tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("change", [{"package": "no_such_package"}, {"file": "data/no_such_photo.png"}])
def test_missing_photo_is_refused_with_the_remedy(change):
    photo = recipe_of("objects").photos["coffee"].model_copy(update=change)
    with pytest.raises(DataError, match="pip install"):
        builtin.read_photo(photo)


@pytest.mark.parametrize(
    ("tiles", "word"), [("...\n..", "length"), ("...\n...", "every split"), ("vtx", "every split")]
)
def test_wrong_maps_are_refused(tiles, word):
    values = recipe_of("objects").photos["coffee"].model_dump(by_alias=True)
    with pytest.raises(ValueError, match=word):
        builtin.Photo.model_validate(values | {"tiles": tiles})


def test_every_photo_is_credited():
    for name in NAMES:
        for photo in recipe_of(name).photos.values():
            assert re.search(r"photographed|Photograph by|Scharstein", photo.credit)


def test_crops_that_fit_into_no_tile_of_a_split_are_refused(tmp_path):
    """At once, and in one line that names the file, the photo and the largest side that fits."""
    source = sources.load("objects", TRACKED)
    source = source.model_copy(update={"sample": small("objects", smallest=80, largest=90)})
    source._file = "sources/objects.yaml"
    with pytest.raises(
        ParameterError, match=r"^sources/objects\.yaml: sample\.largest: 90.*astronaut.*at most 64 "
    ) as error:
        sources.locate(source, tmp_path)
    assert "\n" not in str(error.value) and tree(tmp_path) == {}


def test_smallest_side_above_the_largest_is_refused():
    values = recipe_of("objects").model_dump(by_alias=True)
    with pytest.raises(ValueError, match="smallest is 70, expected at most the value of largest, 64"):
        builtin.Recipe.model_validate(values | {"smallest": 70})
