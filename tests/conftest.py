"""Shared by all tests: the repository, its tiny parameters, and tiny sharded data sets written without archives."""

import csv
import os
import signal
from pathlib import Path
from types import SimpleNamespace

# Before torch is loaded, whatever was set: many tests fork, which a pool of threads does not survive: the child hangs.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_DISABLE_FAST_MM"] = "1"  # the memory pools of MKL do not survive it either if several threads used them

import hypothesis
import numpy as np
import pytest
import torch

from colorize import runtime
from colorize.config import params
from colorize.data import shards, verified
from colorize.layout import Folders
from tests.helpers import quiet_end  # noqa: F401
from tests.helpers.layouts import expect_one_line, real_layouts  # noqa: F401 - fixtures
from tests.helpers.object_stores import odd_store, s3, s3_server  # noqa: F401 - fixtures
from tests.helpers.stand_ins import without_plots, without_plots_here  # noqa: F401 - fixtures

# A shell that starts a job in the background makes it deaf to Ctrl-C, and so all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup makes it deaf to that one

# Before anything traces a network: after that, the first gradients would start threads, and no child could compute any.
torch.ones((), requires_grad=True).backward()

os.fsync = lambda descriptor: None  # no test cuts the power, so there is no need to wait for the disk

REPO = Path(__file__).resolve().parents[1]

_BOTH = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}
hypothesis.settings.register_profile("ci", max_examples=50, derandomize=True, **_BOTH)
hypothesis.settings.register_profile("fuzz", max_examples=200, print_blob=True, **_BOTH)  # of `make fuzz`, a round
hypothesis.settings.load_profile("ci")


_SLOWEST = (
    "test_pipeline.py",
    "test_profiles.py",
    "tools/test_run_cells.py",
    "product/test_recorded.py",
    "test_extending.py",
    "faults/",
    "test_seeds.py",
    "report/test_intervals.py",
    "product/",
    "fuzz/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, so that no core is left with one of them at the end."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(REPO / "tests").as_posix()
        return next((n for n, start in enumerate(_SLOWEST) if name.startswith(start)), len(_SLOWEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's top folder."""
    return REPO


@pytest.fixture(scope="session")
def data_files() -> Path:
    """Reference values of others; see the README there."""
    return REPO / "tests" / "data_files"


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    """What the machine's environment sets must not decide a test."""
    for name in list(os.environ):
        if name.startswith(("COLORIZE_", "DVC_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_memory_of_shards(monkeypatch):
    """Tests share the repository's folder, which is no place for the stamps of their files."""
    monkeypatch.setattr(verified, "_SETTLED_S", float("inf"))


@pytest.fixture(scope="session")
def settings() -> params.Settings:
    """The `ci` profile: every value small."""
    return params.load(REPO / "profiles" / "ci.yaml")


@pytest.fixture(scope="session")
def tiny_train(settings):
    """`tiny_train(steps=2, ...)`: the section `train` with changes."""
    small = {"width": 0.03, "batch_size": 4, "val_images": 4, "steps": 3, "val_every": 2, "pictures_every": 100}
    return lambda **changes: settings.train.model_copy(update={**small, **changes})


def make_images(count: int, size: int = 16, seed: int = 0) -> np.ndarray:
    """(count, size, size, 3) uint8: smooth, colorful, every one another."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 256, (count, 2, 2, 3)).astype(float)
    t = np.linspace(0, 1, size)
    rows = corners[:, :1] * (1 - t[:, None, None]) + corners[:, 1:] * t[:, None, None]  # (count, size, 2, 3)
    full = rows[:, :, :1] * (1 - t[:, None]) + rows[:, :, 1:] * t[:, None]
    return full.round().astype(np.uint8)


def write_dataset(
    root: Path, splits: dict[str, np.ndarray], per_shard: int = 5, keys: dict | None = None, name: str = "tiny"
) -> Folders:
    """Write images as a sharded data set.

    Args:
        root: of the folders.
        splits: (N, S, S, 3) uint8 each.
        per_shard: images a tar.
        keys: of a split's images, where they are not 0, 1, ...
        name: of the data set.
    """
    folders = Folders(root)
    for split, images in splits.items():
        folder = folders.shards(split, name)
        numbers = (keys or {}).get(split, list(range(len(images))))
        tars = []
        for start in range(0, len(images), per_shard):
            path = folder / f"{start // per_shard:06d}.tar"
            part = images[start : start + per_shard]
            sha256 = shards.write_shard(path, images.shape[1], numbers[start : start + per_shard], part)
            tars.append({"name": path.name, "images": len(part), "sha256": sha256})
        with (folder / shards.TABLE).open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(shards.COLUMNS)
            table.writerows((key, "", "", f"photo {key}.jpg", "", "1.00", 0) for key in numbers)
        manifest = {"format": shards.FORMAT, "dataset": name, "split": split, "size": images.shape[1]}
        runtime.write_json(folder / "manifest.json", {**manifest, "images": len(images), "shards": tars})
    return folders


def link_inputs(root: Path, shards_of: Folders, priors_of: Folders) -> Folders:
    """Folders below `root` in which links lead to the shards and priors of others."""
    for name, folders in (("shards", shards_of), ("priors", priors_of)):
        link = root / "data" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folders.root / "data" / name)
    return Folders(root)


@pytest.fixture(scope="session")
def write_images():
    """The function `write_dataset`, for tests that need their own images."""
    return write_dataset


@pytest.fixture(scope="session")
def linked():
    """The function `link_inputs`."""
    return link_inputs


@pytest.fixture(scope="session")
def images_of():
    """The function `make_images`."""
    return make_images


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, settings) -> SimpleNamespace:
    """A data set of 16x16 images (12 train, 4 val, 6 test) and its prior; read only."""
    from colorize.color.targets import Options
    from colorize.prior import build

    images = {"train": make_images(12, seed=1), "val": make_images(4, seed=2), "test": make_images(6, seed=3)}
    folders = write_dataset(tmp_path_factory.mktemp("tiny"), images)
    build.write_prior("tiny", Options.of(settings.soft_targets), 0.5, folders)
    return SimpleNamespace(folders=folders, prior=folders.prior("tiny"), images=images)
