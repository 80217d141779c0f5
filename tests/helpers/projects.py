"""A small project for tests: a copy of the repository with one data set of 22 images and short trainings."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DATASET = "tiny"
MODELS = ("regression", "cnn", "cnn_weighted", "unet", "unet_weighted")
STAGES = (  # script and arguments, in an order of the DAG
    ("shard", DATASET),
    ("prior", DATASET),
    *(("train", DATASET, model, "0") for model in MODELS),
    *(("evaluate", DATASET, model, "0") for model in MODELS),
    ("evaluate", DATASET, "baselines"),
    ("report",),
)
POINTS = {  # fault points that a stage passes; all pass those of EVERYWHERE
    "shard": ("shard-member", "shard-rename", "shard-manifest"),
    "prior": ("prior-write",),
    "train": ("checkpoint-written", "checkpoint-prune", "train-final", "train-sidecar", "train-remove"),
    "evaluate": ("evaluate-details",),
    "report": ("report-files",),
}
EVERYWHERE = ("write-rename", "write-sync", "stage-checked")
_SOURCE = "path: tiny.zip\nsplits:\n" + "".join(
    f"  {split}: {{glob: '{split}/*'}}\n" for split in ("train", "val", "test")
)


def make_project(folder: Path, models: tuple[str, ...] = MODELS, **train: object) -> Path:
    """A copy of the repository with one data set of 22 images of 16x16 and few steps.

    Args:
        folder: to make.
        models: to train.
        train: changes to the section `train` of the parameters.
    """
    for name in ("colorize", "stages", "sources"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.tmp"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir(parents=True)
    config = (ROOT / ".dvc/config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (folder / ".dvc/config").write_text(config)
    params = yaml.safe_load((ROOT / "profiles/ci.yaml").read_text())
    params |= {"datasets": [DATASET], "models": list(models)}
    params["shard"] |= {"size": 16, "per_shard": 5}
    params["train"] |= {"width": 0.03, "steps": 20, "val_every": 6, "val_images": 4, "pictures_every": 8, "lr": 1e-3}
    params["train"] |= {"select": "best", **train}
    params["evaluate"] |= {"num_saved": 4, "num_worst": 2, "named": {}}
    params["report"] |= {"columns": 2, "figure4_models": [models[0]], "figure6_model": models[0]}
    params["report"]["figure5"] = {"source": DATASET, "target": DATASET, "model": models[0]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / f"sources/{DATASET}.yaml").write_text(_SOURCE)
    (folder / "data/raw").mkdir(parents=True)
    _write_images(folder / "data/raw/tiny.zip")
    return folder


def _write_images(path: Path) -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 12), ("val", 4), ("test", 6)):
            for n in range(count):
                corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
                content = io.BytesIO()
                Image.fromarray(corners).resize((16, 16), Image.Resampling.BILINEAR).save(content, format="PNG")
                archive.writestr(f"{split}/{n:02d}.png", content.getvalue())


def tree(project: Path) -> dict[str, bytes]:
    """Every file that the stages made, and whatever they should not have left."""
    found = {}
    for top in ("data", "results", ".state"):
        for path in sorted((project / top).rglob("*")):
            if path.is_file() and not {"raw", "verified"} & set(path.relative_to(project).parts):
                found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found
