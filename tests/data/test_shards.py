"""The shard format: anybody's tools read it, and it is one strided array."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from colorize.data import shards
from colorize.data.loader import Split
from colorize.runtime import DataError


@pytest.fixture(scope="module")
def pixels(images_of) -> np.ndarray:
    """(4, 64, 64, 3): the size of the real ones."""
    return images_of(4, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_images, pixels):
    """Two tars, and a gap in the keys where an image was rejected."""
    out = tmp_path_factory.mktemp("shards") / "mine"
    return write_images(out, {"train": pixels}, per_shard=2, keys={"train": [0, 1, 3, 12]})


@pytest.fixture(scope="module")
def tars(folder) -> list[str]:
    """Paths of the tars, in order."""
    return [str(path) for path in sorted((folder / "train").glob("*.tar"))]


def test_stock_webdataset_yields_our_loaders_pixels_and_keys(folder, tars, pixels):
    import webdataset

    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    split = Split(folder, "train")
    rows = np.arange(len(split))
    assert [int(sample["__key__"]) for sample in samples] == split.keys(rows).tolist() == [0, 1, 3, 12]
    found = np.stack([sample["ppm"] for sample in samples])
    assert found.dtype == np.uint8
    assert np.array_equal(found, split.images(rows))
    assert np.array_equal(found, pixels)


def test_stock_webdataset_decodes_pil_images(tars, pixels):
    import webdataset

    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert np.array_equal(np.stack([np.asarray(sample["ppm"]) for sample in samples]), pixels)


def test_tarfile_and_any_image_viewer_read_the_members(tars, pixels):
    with tarfile.open(tars[1]) as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(member).read() for member in members]
    assert [member.name for member in members] == ["00000003.ppm", "00000012.ppm"]
    assert all(member.isreg() and member.mtime == member.uid == member.gid == 0 for member in members)
    for content, image in zip(contents, pixels[2:], strict=True):
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PPM", (64, 64), "RGB")
            assert np.array_equal(np.asarray(picture), image)


def test_a_shard_is_one_array_of_stride_13312(tars, pixels):
    raw = np.fromfile(tars[0], dtype=np.uint8)
    assert len(raw) == 2 * 13_312 + 1024
    members = raw[: 2 * 13_312].reshape(2, 13_312)
    assert np.array_equal(members[:, 576 : 576 + 64 * 64 * 3].reshape(2, 64, 64, 3), pixels[:2])


@pytest.mark.parametrize("size", [16, 48, 64, 224])
def test_the_ppm_header_has_64_bytes_at_any_size(size):
    geometry = shards.Geometry(size)
    assert len(geometry.ppm_header()) == 64
    assert geometry.stride % 512 == 0
    assert 0 <= geometry.stride - 512 - geometry.content < 512


def test_the_digest_is_that_of_the_file(tmp_path, pixels):
    sha256 = shards.write_shard(tmp_path / "a.tar", 64, [5], pixels[:1])
    assert sha256 == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()


def test_the_same_images_make_the_same_bytes(tmp_path, pixels):
    first, again = (shards.write_shard(tmp_path / name, 64, [0, 1], pixels[:2]) for name in ("a.tar", "b.tar"))
    assert first == again


def refusal(folder, split: str = "train") -> str:
    with pytest.raises(DataError) as caught:
        Split(folder, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def damaged(tmp_path, write_images, images_of):
    """A data set of 5 tiny images, to be damaged."""
    return write_images(tmp_path / "mine", {"train": images_of(5)}, per_shard=3)


def test_a_truncated_shard_is_refused_with_its_remedy(damaged):
    path = damaged / "train" / "000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    message = refusal(damaged)
    assert f"{path}: " in message
    assert "the manifest says" in message
    assert "dvc repro -f shard@mine" in message


def test_a_missing_shard_is_refused(damaged):
    (damaged / "train" / "000000.tar").unlink()
    assert "000000.tar: 0 bytes, the manifest says" in refusal(damaged)


def test_a_tar_of_another_geometry_is_refused(damaged):
    path = damaged / "train" / "000000.tar"
    content = bytearray(path.read_bytes())
    content[512:515] = b"P5\n"
    path.write_bytes(content)
    assert "not a shard of 16x16 images" in refusal(damaged)


def test_without_a_manifest_the_stage_to_run_is_named(tmp_path):
    assert "make it with `dvc repro shard@mine`" in refusal(tmp_path / "mine")


def test_a_manifest_of_another_format_is_refused(damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "strided-ppm-2"}))
    assert "format 'strided-ppm-2', expected 'strided-ppm-1'" in refusal(damaged)


def test_a_damaged_manifest_is_refused(damaged):
    path = damaged / "manifest.json"
    path.write_text(path.read_text()[:-10])
    assert "manifest.json: damaged" in refusal(damaged)
