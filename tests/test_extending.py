"""docs/extending.md: its diffs make what it says, and its path of one image exists."""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize.data.order import training_order
from colorize.data.shards import SPLITS
from colorize.data.split import Split
from tests.helpers import extending, forking_dvc
from tests.helpers.clones import clone, commit, edit, run

SECTIONS = ("A model", "A measure", "A data set", "A union of data sets", "A parameter")


def write_photos(folder: Path) -> None:
    """40 small colorful photographs, no two alike."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(40):
        corners = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        Image.fromarray(corners).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")


def changed_files(repo: Path) -> list[str]:
    """Files that differ from the last commit, new ones included."""
    done = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, text=True, check=True)
    return sorted(line[3:] for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A clone with the ci profile, after all diffs and a run: the new model, an old and a new data set, and a union."""
    repo = clone(tmp_path_factory.mktemp("clone"))
    shutil.copy(repo / "profiles/ci.yaml", repo / "params.yaml")
    (repo / "dvc.lock").unlink(missing_ok=True)
    write_photos(repo / "data/raw/holidays")
    commit(repo)
    for section in SECTIONS:
        before = changed_files(repo)
        assert before == []
        extending.apply(repo, extending.diffs_of(section))
        assert changed_files(repo) == sorted(extending.files_in_table(section)), section
        commit(repo)
    edit(repo / "sources/objects.yaml", "{train: 2000, val: 200, test: 200}", "{train: 200, val: 40, test: 40}")
    edit(repo / "params.yaml", "- objects\n- scenes\n", "- objects\n")
    edit(repo / "params.yaml", "  size: 64", "  size: 16")
    text = (repo / "params.yaml").read_text()
    text = re.sub(r"^models:.*?\n\n", "models:\n- shallow\n\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"figure4_models:.*?\n(?=  \w)", "figure4_models:\n  - shallow\n", text, flags=re.DOTALL)
    text = re.sub(r"(model|figure6_model): \w+", r"\1: shallow", text)
    (repo / "params.yaml").write_text(text.replace("eps: 1.0e-8", "eps: 1.0e-6"))
    run(repo, sys.executable, forking_dvc.__file__, "repro", COLORIZE_RAW=str(repo / "data/raw"), COLORIZE_THREADS="1")
    return repo


def test_the_new_model_measure_and_data_set_are_in_the_tables(extended):
    text = (extended / "results/table1.md").read_text()
    assert "Shallow Network" in text and "My Holidays" in text and "Objects and My Holidays" in text
    with (extended / "results/measures.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "chroma_error" and row["model"] == "shallow"]
    assert len(rows) == 27  # three data sets, each evaluated on all, with three decodings
    assert all(0 < float(row["low"]) < float(row["value"]) < float(row["high"]) < 180 for row in rows)


def test_the_union_has_the_files_of_its_members_and_their_mix(extended):
    for split in SPLITS:
        theirs = [extended / "data/shards" / split / name / "000000.tar" for name in ("objects", "holidays")]
        for number, path in enumerate(theirs):
            assert path.samefile(extended / "data/shards" / split / "joined" / f"{number:06d}.tar")
    sidecar = json.loads((extended / "data/models/joined-shallow-0/model.json").read_text())
    assert [(part["dataset"], part["weight"]) for part in sidecar["parts"]] == [("objects", 3), ("holidays", 1)]
    split = Split(extended / "data/shards/train/joined")
    rows = np.concatenate([batch.rows for batch in islice(training_order(split.parts, 4, 0), 300)])
    assert np.count_nonzero(rows < sidecar["parts"][0]["images"]) == 900
    with (extended / "results/generalization.csv").open(newline="") as file:
        pairs = {(row["source"], row["target"]) for row in csv.DictReader(file)}
    assert pairs == {("objects", "holidays"), ("holidays", "objects")}
    prior, *theirs = (
        np.load(extended / "data/priors" / name / "prior.npy") for name in ("joined", "objects", "holidays")
    )
    np.testing.assert_allclose(prior, np.dot([0.75, 0.25], theirs), atol=1e-9)


def test_the_new_parameter_reaches_the_training(extended):
    sidecar = json.loads((extended / "data/models/holidays-shallow-0/model.json").read_text())
    assert sidecar["parameters"]["train"]["eps"] == 1e-6


def test_the_new_model_colors_a_photo(extended, tmp_path):
    photo = next((extended / "data/raw/holidays").iterdir())
    run(extended, sys.executable, "-m", "colorize", str(photo), "-o", str(tmp_path), "--model", "holidays-shallow-0")
    (result,) = tmp_path.glob("*.png")
    assert np.ptp(np.asarray(Image.open(io.BytesIO(result.read_bytes())).convert("RGB")).astype(int), axis=2).any()


def test_dependencies_are_still_exact(extended):
    """With the new files: a stage depends on exactly the code that it imports and the parameters that it reads."""
    run(extended, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_stages.py")


def functions_of(path: Path) -> set[str]:
    """Names of functions, classes and methods (`Class.method`) of a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            found |= {node.name, *(f"{node.name}.{at.name}" for at in node.body if isinstance(at, ast.FunctionDef))}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


def test_every_step_of_the_path_of_an_image_exists(repo):
    lines = re.findall(r"^\| (\d+) \| `([\w./]+)` \| (.*?) \|", extending.section("Follow one image"), re.MULTILINE)
    files = {file for _, file, _ in lines}
    assert 25 <= len(files) < 40
    for _, file, names in lines:
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in functions_of(repo / file), f"{file}: {name}"
