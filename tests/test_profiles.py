"""The profiles of the paper and of Tiny ImageNet, on small archives in the published layouts."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import processes
from tests.helpers.clones import clone, commit, edit, stages_run
from tests.helpers.pipelines import dvc, record

MODELS = ("regression", "cnn", "cnn_weighted", "unet", "unet_weighted")


def photo(side: int, seed: int) -> bytes:
    """A small colorful JPEG."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((side, side), Image.BICUBIC)
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def small_archives(tmp_path) -> Path:
    """A folder with a few photos in the layouts in which the paper's data sets are published."""
    folder = tmp_path / "archives"
    folder.mkdir()
    tiny = [f"train/{wnid}/images/{wnid}_{n}.JPEG" for wnid in ("n01443537", "n02123045") for n in range(4)]
    tiny += [f"{split}/images/{split}_{n}.JPEG" for split in ("val", "test") for n in range(3)]
    with zipfile.ZipFile(folder / "tiny-imagenet-200.zip", "w") as archive:
        for seed, name in enumerate(tiny):
            archive.writestr(f"tiny-imagenet-200/{name}", photo(64, seed))
        annotations = "".join(f"val_{n}.JPEG\tn01443537\t0\t0\t63\t63\n" for n in range(3))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", annotations)
    places = {
        "train_256_places365standard.tar": [f"data_256/a/airfield/{n:08d}.jpg" for n in range(1, 7)],
        "val_256.tar": [f"val_256/Places365_val_{n:08d}.jpg" for n in range(1, 4)],
        "test_256.tar": [f"test_256/Places365_test_{n:08d}.jpg" for n in range(1, 4)],
    }
    for file, names in places.items():
        with tarfile.open(folder / file, "w") as archive:
            for seed, name in enumerate(names):
                info = tarfile.TarInfo(name)
                data = photo(256, seed)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    with tarfile.open(folder / "filelist_places365-standard.tar", "w") as archive:
        val = "".join(f"Places365_val_{n:08d}.jpg 0\n" for n in range(1, 4))
        for name, text in (("places365_val.txt", val), ("categories_places365.txt", "/a/airfield 0\n")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return folder


def shortened(profile: str) -> str:
    """The text of a profile with tiny networks that are trained for two steps."""
    short = {"steps": 2, "width": 0.05, "val_every": 1, "pictures_every": 1, "batch_size": 2}
    for key, value in short.items():
        profile, count = re.subn(rf"(?m)^(  {key}:) [\d.]+", rf"\1 {value}", profile)
        assert count == 1
    return profile


def test_the_papers_data_sets_run_on_small_archives_in_their_layouts(tmp_path, small_archives):
    repo = clone(tmp_path / "clone")
    (repo / "params.yaml").write_text(shortened((repo / "profiles/paper.yaml").read_text()))
    (repo / "dvc.lock").unlink(missing_ok=True)
    # Without a published length, no other file is taken for a selection of the images
    md5 = hashlib.md5((small_archives / "filelist_places365-standard.tar").read_bytes()).hexdigest()
    edit(repo / "sources/places365.yaml", "35a0585fee1fa656440f3ab298f8479c", md5)
    commit(repo)
    sharded = ("shard@tiny_imagenet", "shard@places365")
    assert set(stages_run(dvc(repo, "repro", *sharded, COLORIZE_RAW=str(small_archives)))) == set(sharded)
    models = (("tiny_imagenet", "unet_weighted"), ("places365", "regression"))
    stages = [("prior", dataset) for dataset, _ in models]
    stages += [(name, *model, "0") for name in ("train", "evaluate") for model in models]
    made = record(repo, stages, tmp_path / "log")
    assert stages_run(dvc(repo, "repro", "--dry", *made)) == []
    details = json.loads((repo / "data/evaluations/tiny_imagenet-unet_weighted-0/places365/details.json").read_text())
    assert set(details["measures"]) > {"l2", "l1", "cross_entropy", "weighted_cross_entropy", "accuracy"}


def test_the_tiny_profile_gives_a_report_of_its_single_data_set(tmp_path, small_archives):
    repo = clone(tmp_path / "clone")
    (repo / "params.yaml").write_text(shortened((repo / "profiles/tiny.yaml").read_text()))
    edit(repo / "params.yaml", "  size: 64", "  size: 48")  # not a power of two, and the archive has 64 px
    for folder in ("figures", "metrics"):
        shutil.rmtree(repo / "results" / folder)
    stages = [("shard", "tiny_imagenet"), ("prior", "tiny_imagenet")]
    stages += [(name, "tiny_imagenet", model, "0") for name in ("train", "evaluate") for model in MODELS]
    processes.load_everything()
    for stage in (*stages, ("evaluate", "tiny_imagenet", "baselines"), ("report",)):
        processes.run(repo, stage, tmp_path / "log", COLORIZE_RAW=str(small_archives), COLORIZE_PROCS="1")
    table = (repo / "results/table1.md").read_text()
    assert "Tiny ImageNet → Tiny ImageNet" in table and "Unet with Weights" in table and "· *paper*" in table
    figures = sorted(path.name for path in (repo / "results/figures").iterdir())
    plots = ("curves", "figure1", "matrix", "table1", "temperature", "tradeoff")
    plots_of_kinds = [f"{name}.{kind}" for name in plots for kind in ("pdf", "png")]
    assert figures == sorted([*plots_of_kinds, "figure3.jpg", "figure4.jpg"])
    assert (repo / "data/gallery/index.html").is_file()
