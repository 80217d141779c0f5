"""A model on disk: comes back bit for bit, and whatever is wrong with it is one line that names the remedy."""

import json

import pytest
import torch

from colorize.models import files
from colorize.models.build import build
from colorize.runtime import DataError

SIDECAR = {"model": "cnn", "width": 0.03, "size": 16}


@pytest.fixture
def model() -> torch.nn.Module:
    """A tiny model whose BatchNorm statistics have moved."""
    torch.manual_seed(0)
    model = build("cnn", 0.03)
    model(torch.rand(2, 1, 16, 16))
    return model


@pytest.fixture
def folder(tmp_path, model):
    """A saved model."""
    files.save(tmp_path / "objects-cnn", model, SIDECAR)
    return tmp_path / "objects-cnn"


def refusal(folder) -> str:
    with pytest.raises(DataError) as caught:
        files.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_sidecar(folder, **changes) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_comes_back_as_it_was(folder, model):
    loaded, sidecar = files.load(folder)
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert SIDECAR.items() <= sidecar.items()
    assert sidecar["num_bins"] == 313


def test_saving_twice_gives_the_same_bytes(folder, model, tmp_path):
    files.save(tmp_path / "again", model.to(memory_format=torch.channels_last), SIDECAR)
    for name in ("model.safetensors", "model.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_missing_model_names_the_stage_that_makes_it(tmp_path):
    assert "train the model with `dvc repro train@objects-unet`" in refusal(tmp_path / "objects-unet")


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors: missing or damaged" in refusal(folder)


def test_one_flipped_bit_in_the_weights_is_noticed(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "missing or damaged; run `python -m colorize.verify --repair " in refusal(folder)
    assert "dvc repro train@objects-cnn" in refusal(folder)


def test_a_damaged_sidecar_is_refused(folder):
    (folder / "model.json").write_text((folder / "model.json").read_text()[:-20])
    assert "model.json: damaged" in refusal(folder)


def test_weights_of_another_width_are_named(folder):
    change_sidecar(folder, width=0.06)
    assert "not the weights of a cnn of width 0.06" in refusal(folder)


def test_weights_for_other_bins_are_named_with_both_numbers(folder):
    change_sidecar(folder, num_bins=312)
    assert "made for 312 bins, the gamut has 313" in refusal(folder)
