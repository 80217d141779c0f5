"""All contenders of a benchmark do the same work; a race against one that does less would prove nothing."""

import io

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from benchmarks import inputs, one_worker, photos, prior, report, sharding, targets
from colorize.color import cielab, gamut
from colorize.data.split import Split
from colorize.layout import Folders


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A tar of 6 JPEGs."""
    return inputs.write_archive(tmp_path_factory.mktemp("archive") / "a.tar", 6, size=128)


def test_ours_shards_every_image_of_the_archive(archive, tmp_path):
    one_worker.shard(archive, tmp_path)
    assert [len(Split(Folders(tmp_path).shards(split, "mine"))) for split in ("train", "val", "test")] == [4, 1, 1]


def test_the_straightforward_writer_writes_what_webdataset_reads(archive, tmp_path):
    import webdataset

    sharding._straightforward(archive, tmp_path / "a.tar")
    samples = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False).decode("rgb8"))
    assert [sample["png"].shape for sample in samples] == [(64, 64, 3)] * 6


def test_sets_for_loading_hold_the_crops(tmp_path):
    split = inputs.write_shards(tmp_path, 7, size=16, per_shard=3)
    assert split.counts == [3, 3, 1]
    assert np.array_equal(split.images(np.arange(7)), inputs.crops(16)[:7])


def test_the_peers_of_soft_targets_find_the_same():
    ab = cielab.rgb_to_lab(torch.from_numpy(inputs.crops(16)[:1]).movedim(-1, 1))[:, 1:]
    expected_bins, expected = (part.flatten(0, 2) for part in gamut.soft_encode(ab))
    for bins, values in (targets._by_distances(ab), targets._search_tree(ab)()):
        dense = torch.zeros(len(expected), gamut.NUM_BINS).scatter_(1, bins, values.float())
        ours = torch.zeros_like(dense).scatter_(1, expected_bins, expected)
        assert (dense - ours).abs().max() < 0.02  # the tenth neighbor may be swapped with the eleventh


def test_the_peers_of_the_prior_count_the_same(tmp_path):
    split = inputs.write_shards(tmp_path, 5, size=16)
    bins, soft = prior.prior(split)
    images = split.images(np.arange(5))
    for found in (prior._by_distances(images)[0], prior._by_skimage(images)):
        assert found.sum() == bins.sum() == 5 * 16**2
        assert np.abs(found - bins).sum() <= 4  # pixels on the border of two bins
    assert np.abs(prior._by_distances(images)[1] - soft).max() < 1e-4
    assert prior._read(split) == images.reshape(-1).view(np.uint64).sum()


def test_repeated_measures_have_the_keys_of_the_saved_images_and_new_ones(tmp_path):
    np.savez(tmp_path / "a.npz", key=[3, 40, 5], group=["a", "a", "b"], l2=np.float32([1, 2, 3]))
    found = report._repeated(tmp_path / "a.npz", 25)
    assert found["key"][:3].tolist() == [3, 40, 5] and len({*found["key"].tolist()}) == 25
    assert np.abs(found["l2"] / np.tile([1, 2, 3], 9)[:25] - 1).max() <= 0.1 and len({*found["l2"].tolist()}) > 20
    assert len({*found["group"].tolist()}) == 3  # of 10 images each


@pytest.mark.parametrize("kind", photos._KINDS)
def test_all_contenders_write_the_same_photo_in_color(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(photos, "_MODEL", tmp_path / "none")
    gray = photos.gray_photo(61, 90)
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(gray[..., None]), 92, "GRAY")
    torch.manual_seed(0)
    strong = photos._colorizer()[0]
    with torch.no_grad():
        strong._model.head.weight.mul_(500)
    task = photos.Task(strong, content, kind)
    assert task.limit() == task.ours()
    ours, plain = (np.asarray(Image.open(io.BytesIO(made))).astype(int) for made in (task.ours(), task.plain()))
    assert np.abs(ours - plain).mean() < (0.2 if kind == "PNG" else 1.5)
    assert kind != "PNG" or np.abs(ours - plain).max() <= 1
    assert np.ptp(plain, axis=2).max() > 9  # it has colors
