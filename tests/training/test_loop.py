"""Training: reproducible to the bit, learning, and leaving the files that the other stages read."""

import csv
import json
import shutil
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.color import cielab, gamut, targets
from colorize.color.targets import Options
from colorize.data.loader import evaluation_batches, training_batches
from colorize.data.split import Split
from colorize.data.transform import to_networks
from colorize.layout import Folders, Run
from colorize.models import files
from colorize.models.contract import build_model
from colorize.models.registry import MODELS
from colorize.runtime import DataError
from colorize.training import describe, loop


@pytest.fixture
def train(tiny, tiny_train, settings, tmp_path, monkeypatch, linked):
    """`train(model, out="a", steps=...)` -> its folders."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def run(model: str, out: str = "a", shards=None, prior=None, seed: int = 0, **changes) -> Trained:
        folders = linked(tmp_path / out, shards or tiny.folders, prior or tiny.folders)
        trained, options = Run("tiny", model, seed), Options.of(settings.soft_targets)
        loop.train(trained, tiny_train(**changes), options, folders, "code", "cpu").remove()
        return Trained(folders.model(trained), folders.history(trained))

    return run


class Trained(NamedTuple):
    """Folders that a training has filled."""

    model: Path
    history: Path


def history(trained: Trained) -> list[dict]:
    with (trained.history / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tree(trained: Trained) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in trained
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("model", ["regression", "unet_weighted"])
def test_two_runs_of_one_seed_are_the_same_bytes(train, model):
    first, second = train(model, "first"), train(model, "second")
    assert len(tree(first)) == 5  # weights, sidecar, history, layers, a picture
    assert tree(first) == tree(second)


@pytest.mark.parametrize("place", ["device", "stream"])
def test_where_the_images_wait_changes_nothing(train, monkeypatch, place):
    expected = tree(train("cnn", "host"))
    monkeypatch.setenv("COLORIZE_CACHE", place)
    assert tree(train("cnn", place)) == expected


def test_another_seed_is_another_model(train):
    first, second = (files.load(train("cnn", out, seed=n).model)[0] for n, out in enumerate("ab"))
    assert not torch.equal(first.head.weight, second.head.weight)


@pytest.fixture
def easy(tmp_path, write_images):
    """A data set of dark blue and bright orange images: lightness tells the color."""
    both = np.tile(np.uint8([(30, 60, 160), (250, 180, 60)])[:, None, None], (4, 16, 16, 1))
    return write_images(tmp_path / "easy", {"train": both, "val": both, "test": both})


@pytest.mark.parametrize("model", ["regression", "cnn", "unet_weighted"])
def test_the_loss_falls_where_lightness_tells_the_color(train, easy, model):
    changes = {"width": 0.1, "lr": 0.01, "head_bias": "zero", "schedule": "constant", "steps": 60, "val_every": 10}
    rows = history(train(model, shards=easy, **changes))
    assert float(rows[-1]["train_loss"]) < 0.7 * float(rows[1]["train_loss"])


def test_steps_are_those_of_clipped_adam_with_its_weight_decay_inside_the_gradient(train, tiny):
    """The same two steps by hand; the values are such that every one of them matters."""
    changes = {"lr": 0.01, "beta1": 0.5, "beta2": 0.8, "weight_decay": 0.3, "clip_norm": 0.01, "schedule": "constant"}
    found, _ = files.load(train("regression", steps=2, select="last", seed=5, **changes).model)
    torch.manual_seed(5)
    model = build_model("regression", 0.03).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.5, 0.8), weight_decay=0.3)
    for batch in islice(training_batches(Split(tiny.folders.shards("train", "tiny")), 4, 5, "cpu"), 2):
        L_norm, ab_norm = to_networks(batch)
        optimizer.zero_grad()
        ((model(L_norm) - ab_norm).square().sum(1).mean() / 2).backward()
        assert torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01) > 0.01
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found.get_parameter(name), parameter, rtol=1e-5, atol=1e-6, msg=name)


def test_the_schedule_is_followed(train):
    constant, cosine = (files.load(train("cnn", name, schedule=name).model)[0] for name in ("constant", "cosine"))
    assert not torch.equal(constant.head.weight, cosine.head.weight)


@pytest.mark.parametrize("model", MODELS)
def test_the_history_has_a_row_a_validation(train, model):
    rows = history(train(model, steps=3, val_every=2))
    of_all, losses = {"val_loss", "val_l1", "val_l2"}, ("cross_entropy", "weighted_cross_entropy", "class_weight")
    of_classifiers = {"val_accuracy", *(f"{split}_{name}" for split in ("train", "val") for name in losses)}
    assert set(rows[0]) == {"step", "train_loss", "train_l2"} | of_all | of_classifiers
    assert [row["step"] for row in rows] == ["0", "2", "3"]
    assert rows[0]["train_loss"] == ""  # nothing was trained yet
    present = of_all | (of_classifiers if MODELS[model].is_classifier else {"train_l2"})
    for row in rows:
        assert {name for name, value in row.items() if value} - {"step", "train_loss"} == present
        assert all(float(row[name]) > 0 for name in present - {"val_accuracy"})
    assert all(float(row["train_loss"]) > 0 for row in rows[1:])


def test_train_and_val_losses_are_those_of_fixed_images_in_evaluation_mode(train, tiny, settings):
    """By hand: four of the twelve training images, evenly spaced, and all four validation images, none mirrored."""
    trained = train("cnn", steps=3, select="last", lr=0.01)
    last, (model, _) = history(trained)[-1], files.load(trained.model)
    weights = torch.from_numpy(np.load(tiny.prior / "rebalancing.npy")).float()
    for split, rows in (("train", [0, 4, 7, 11]), ("val", [0, 1, 2, 3])):
        lab = cielab.rgb_to_lab(torch.from_numpy(tiny.images[split][rows]).movedim(-1, 1))
        L_norm, ab_norm = cielab.split_lab(lab)
        bins, values = targets.soft_targets(ab_norm, Options.of(settings.soft_targets))
        with torch.inference_mode():
            log_p = model(L_norm).log_softmax(1).repeat_interleave(2, 2).repeat_interleave(2, 3).movedim(1, -1)
        of_pixel = -(values * log_p.gather(-1, bins)).sum(-1)  # (B, H, W)
        weight = weights[gamut.nearest_bin(ab_norm * cielab.AB_SCALE)]
        expected = {"cross_entropy": of_pixel, "weighted_cross_entropy": weight * of_pixel, "class_weight": weight}
        for name, value in expected.items():
            assert float(last[f"{split}_{name}"]) == pytest.approx(value.mean().item(), rel=1e-4), (split, name)


@pytest.mark.parametrize("model", ["regression", "unet_weighted"])
def test_validation_changes_no_weight(train, model):
    often, once = (train(model, out, steps=5, val_every=n, select="last") for out, n in (("often", 1), ("once", 5)))
    assert (len(history(often)), len(history(once))) == (6, 2)
    weights = [(folders.model / "model.safetensors").read_bytes() for folders in (often, once)]
    assert weights[0] == weights[1]


@pytest.fixture
def misleading(tmp_path, write_images):
    """A data set whose training images are blue and whose validation images are orange: learning makes it worse."""
    blue, orange = (np.tile(np.uint8(rgb), (8, 16, 16, 1)) for rgb in ((30, 60, 220), (230, 130, 20)))
    return write_images(tmp_path / "misleading", {"train": blue, "val": orange, "test": orange})


def val_l2(folder, shards) -> float:
    model, _ = files.load(folder.model)
    L_norm, ab_norm = to_networks(next(evaluation_batches(Split(shards.shards("val", "tiny")), 8, "cpu")))
    with torch.inference_mode():
        return (model(L_norm) - ab_norm).square().mean().item()


def test_best_and_last_are_the_weights_their_names_say(train, misleading):
    changes = {"steps": 30, "val_every": 10, "lr": 0.01, "val_images": 8}
    best = train("regression", "best", shards=misleading, select="best", **changes)
    last = train("regression", "last", shards=misleading, select="last", **changes)
    losses = [float(row["val_loss"]) for row in history(best)]
    assert losses == [float(row["val_loss"]) for row in history(last)]
    assert losses.index(min(losses)) < 3 < len(losses)
    assert val_l2(best, misleading) == pytest.approx(min(losses), rel=1e-4)
    assert val_l2(last, misleading) == pytest.approx(losses[-1], rel=1e-4)


def test_a_loss_that_is_not_finite_is_one_clear_line(train):
    with pytest.raises(DataError) as caught:
        train("regression", lr=1e30, steps=6)
    assert str(caught.value).startswith(
        "train tiny-regression-0: the loss or its gradient is not finite at step 1, images [5, 11, 0, 3]"
    )
    assert "lower train.lr or train.clip_norm" in str(caught.value)


def test_a_training_that_failed_leaves_no_model(train, tmp_path):
    with pytest.raises(DataError):
        train("regression", "failed", lr=1e30, steps=6)
    assert not (tmp_path / "failed" / "data" / "models").exists()


def test_the_sidecar_tells_how_the_weights_came_to_be_and_no_path(train, tiny, tmp_path, settings):
    folder = train("cnn_weighted", steps=1)
    sidecar = json.loads((folder.model / "model.json").read_text())
    assert set(sidecar) == {
        "dataset", "device", "manifest_sha256", "model", "num_bins", "parameters", "seed", "size", "threads",
        "torch", "weights_sha256", "width",
    }  # fmt: skip
    assert (sidecar["model"], sidecar["dataset"], sidecar["size"]) == ("cnn_weighted", "tiny", 16)
    assert (sidecar["device"], sidecar["threads"]) == ("cpu", torch.get_num_threads())
    assert sidecar["parameters"]["train"]["steps"] == 1
    assert sidecar["parameters"]["soft_targets"] == Options.of(settings.soft_targets)._asdict()
    for name, content in tree(folder).items():
        if name.endswith(".json"):
            assert str(tmp_path).encode() not in content
            assert str(tiny.folders.root).encode() not in content


@pytest.mark.parametrize("model", ["regression", "unet"])
def test_layers_describe_the_trained_network(train, model):
    found = json.loads((train(model, steps=1).history / "layers.json").read_text())
    assert found == describe.describe(model, build_model(model, 0.03), 0.03, 16)


def test_pictures_come_every_so_often_and_at_the_end(train, tiny):
    folder = train("cnn", steps=5, pictures_every=2).history / "pictures"
    assert [path.name for path in sorted(folder.iterdir())] == ["step-000002.png", "step-000004.png", "step-000005.png"]
    with Image.open(folder / "step-000005.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (3 * 16, 4 * 16, 3)  # input, prediction and truth of the 4 validation images
    assert np.ptp(sheet[:16], axis=2).max() <= 1
    assert np.array_equal(sheet[32:], np.concatenate(list(tiny.images["val"]), axis=1))


def test_classifiers_start_at_the_prior_or_at_zero(train):
    def bias_spread(out, **changes):
        return files.load(train("cnn", out, steps=1, lr=1e-12, **changes).model)[0].head.bias.std().item()

    assert bias_spread("prior", head_bias="prior") > 1
    assert bias_spread("zero", head_bias="zero") < 0.5


def test_only_weighted_models_follow_the_class_weights(train, tiny, tmp_path):
    """Unweighted models have a weights file of ones; the loop reads each model's own."""
    other = Folders(tmp_path / "other")
    shutil.copytree(tiny.prior, other.prior("tiny"))
    path = other.prior("tiny") / "class_weights-cnn.npy"
    np.save(path, np.load(path) * 2)
    plain, twice = (history(train("cnn", out, prior=p, steps=1))[0] for out, p in (("a", tiny.folders), ("b", other)))
    assert float(twice["val_loss"]) == pytest.approx(2 * float(plain["val_loss"]), rel=1e-4)
    unet = [history(train("unet", out, prior=p, steps=1)) for out, p in (("c", tiny.folders), ("d", other))]
    assert unet[0] == unet[1]


def test_without_a_prior_the_stage_to_run_is_named(train, tmp_path):
    with pytest.raises(DataError, match="make it with `dvc repro prior@tiny`"):
        train("cnn", prior=Folders(tmp_path / "nowhere"))
