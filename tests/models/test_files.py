"""A model on disk: comes back bit for bit, and whatever is wrong with it is one line that names the remedy."""

import json
import os
import shutil

import pytest
import safetensors.torch
import torch

from colorize import runtime
from colorize.models import files
from colorize.models.contract import build_model
from colorize.runtime import Damaged, DataError

SIDECAR = {"model": "cnn", "width": 0.03, "size": 16}


@pytest.fixture
def model() -> torch.nn.Module:
    """A tiny model whose BatchNorm statistics have moved."""
    torch.manual_seed(0)
    model = build_model("cnn", 0.03)
    model(torch.rand(2, 1, 16, 16))
    return model


@pytest.fixture
def folder(tmp_path, model):
    """A saved model in a repository."""
    (tmp_path / "dvc.yaml").touch()
    files.save(tmp_path / "data/models/objects-cnn-0", model, SIDECAR)
    return tmp_path / "data/models/objects-cnn-0"


def refusal(folder) -> str:
    with pytest.raises(DataError) as caught:
        files.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_sidecar(folder, **changes) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_weights(folder, change) -> None:
    """Save changed tensors under a checksum that fits."""
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    change(state)
    safetensors.torch.save_file(state, path)
    change_sidecar(folder, weights_sha256=runtime.sha256_of(path))


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


def test_a_missing_model_names_the_stage_that_makes_it(folder):
    assert "train the model with `dvc repro train@objects-unet-0`" in refusal(folder.with_name("objects-unet-0"))


def test_a_copy_elsewhere_gets_no_command_of_the_repository(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copies" / "objects-cnn-0")
    flip(copy / "model.safetensors")
    assert refusal(copy).endswith("missing or damaged; copy the folder again from its source")


def test_the_command_works_in_the_current_folder_or_names_another(folder, tmp_path, monkeypatch):
    flip(folder / "model.safetensors")
    command = "`python -m colorize.verify --repair data/models/objects-cnn-0 && dvc repro train@objects-cnn-0`"
    assert refusal(folder).endswith(f"; run {command} in {tmp_path}")
    monkeypatch.chdir(tmp_path)
    assert refusal(folder).endswith(f"; run {command}")


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors: missing or damaged" in refusal(folder)


def test_one_flipped_bit_in_the_weights_is_noticed(folder):
    flip(folder / "model.safetensors")
    assert "missing or damaged; run `python -m colorize.verify --repair " in refusal(folder)


def test_a_damaged_sidecar_is_refused(folder):
    (folder / "model.json").write_text((folder / "model.json").read_text()[:-20])
    assert "model.json: damaged" in refusal(folder)


def test_weights_of_another_width_are_named(folder):
    change_sidecar(folder, width=0.06)
    assert "not the weights of a cnn of width 0.06" in refusal(folder)


def test_weights_for_other_bins_are_named_with_both_numbers(folder):
    change_sidecar(folder, num_bins=312)
    assert "made for 312 bins, but the gamut has 313" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state["head.weight"].fill_(torch.nan), "tensor head.weight has values that are not finite"),
        (lambda state: state["head.bias"].index_fill_(0, torch.tensor([7]), torch.inf), "tensor head.bias has values"),
        (lambda state: state["block1.4.running_var"].neg_(), "tensor block1.4.running_var has negative variances"),
        (lambda state: state.update({"head.bias": state["head.bias"].double()}), "has type torch.float64, expected"),
        (lambda state: state.pop("head.bias"), "not the weights of a cnn"),
    ],
)
def test_weights_that_give_no_picture_are_refused_by_name(folder, change, words):
    change_weights(folder, change)
    assert words in refusal(folder)
    assert "; run `dvc repro --force --single-item train@objects-cnn-0` in " in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0nonsense", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_damaged_weights_with_a_checksum_that_fits_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    change_sidecar(folder, weights_sha256=runtime.sha256_of(folder / "model.safetensors"))
    assert "not the weights of a cnn of width 0.03" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", ["cnn"]), ("model", {}), ("model", "a.b"), ("width", "abc"), ("width", None), ("width", True),
        ("width", float("nan")), ("width", -1), ("width", 1e9), ("size", None), ("size", 16.0), ("size", 0),
        ("size", [16]), ("num_bins", "313"), ("weights_sha256", 5), ("weights_sha256", "0"),
    ],
)  # fmt: skip
def test_values_of_other_types_in_the_sidecar_are_refused(folder, key, value):
    change_sidecar(folder, **{key: value})
    assert f"model.json: `{key}` has the wrong value " in refusal(folder)


@pytest.mark.parametrize("name", ["resnet", "files", "os"])
def test_a_model_of_other_code_is_named_and_not_taken_for_damaged(folder, name):
    """For example of another branch: a repair must leave it."""
    change_sidecar(folder, model=name)
    with pytest.raises(DataError, match=rf"model\.json: .*colorize/models/{name}\.py") as caught:
        files.load(folder)
    assert not isinstance(caught.value, Damaged)


@pytest.mark.parametrize("text", ["[]", "null", "5", '"text"', "[" * 100_000, "\xff"])
def test_a_sidecar_that_is_no_object_is_refused(folder, text):
    (folder / "model.json").write_text(text, encoding="latin-1")
    assert "model.json: " in refusal(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_is_no_file_is_named_and_not_read(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    assert f"{name}: " in refusal(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_file_of_20_gigabytes_is_named_and_not_read(folder, name):
    os.truncate(folder / name, 20 << 30)
    assert "too large: 21,474,836,480 bytes" in refusal(folder)
