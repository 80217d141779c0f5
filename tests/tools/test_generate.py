"""`tools/generate.py`: archives of any size in the real layouts, which the pipeline reads."""

import csv
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from colorize import runtime
from colorize.layout import Folders
from colorize.sharding import build
from tests.helpers import processes
from tools import crops, generate

IMAGES = 120


@pytest.fixture(scope="module", autouse=True)
def _canvases():
    """Made once here, and not in every child process."""
    crops.canvases(32)


def run(folder, layout: str, *options: str, workers: int = 2) -> dict:
    """Generate archives in `<folder>/raw` in a child process; the source file that it printed."""
    words = ("--images", str(IMAGES), "--layout", layout, "--size", "32", "--out", "raw", *options)
    folder.mkdir(exist_ok=True)
    done = processes.call("tools.generate", *words, folder=folder, COLORIZE_PROCS=str(workers))
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.fixture
def sharded(tmp_path, monkeypatch, settings):
    """`sharded(source)` -> the tables of all splits; the archives are in `<tmp_path>/raw`."""

    def shard(source: dict) -> dict[str, list[dict]]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLORIZE_RAW", str(tmp_path / "raw"))
        runtime.write_text(Path("sources/generated.yaml"), yaml.safe_dump(source))
        section = settings.shard.model_copy(update={"size": 32, "max_reject_fraction": 0.0})
        build.shard("generated", section, Folders(Path("out")))
        found = {}
        for split in ("train", "val", "test"):
            with (Path("out/data/shards") / split / "generated/images.csv").open(newline="") as file:
                found[split] = list(csv.DictReader(file))
        return found

    return shard


@pytest.mark.parametrize("layout, counts, classes", [
    ("tiny_imagenet", {"train": 100, "val": 10, "test": 10}, {"train": 100, "val": 10, "test": 0}),
    ("places", {"train": 100, "val": 2, "test": 18}, {"train": 100, "val": 2, "test": 0}),
])  # fmt: skip
def test_the_pipeline_reads_archives_in_the_layouts_of_the_paper(tmp_path, sharded, layout, counts, classes):
    tables = sharded(run(tmp_path, layout))
    assert {split: len(rows) for split, rows in tables.items()} == counts
    assert {split: len({row["class"] for row in rows} - {""}) for split, rows in tables.items()} == classes
    assert num_different(tables) == IMAGES


def test_the_pipeline_reads_a_tar_of_img2dataset(tmp_path, sharded):
    source = run(tmp_path, "img2dataset", "--per-tar", "100")
    tables = sharded(source | {"path": source["path"] + "/00000.tar", "fractions": {"val": 0.2, "test": 0.2}})
    assert num_different(tables) == sum(map(len, tables.values())) == 100


def num_different(tables: dict[str, list[dict]]) -> int:
    """Number of images with different pixels."""
    return len({row["xxh128"] for rows in tables.values() for row in rows})


def test_tars_of_img2dataset_have_text_and_metadata_beside_each_image(tmp_path):
    run(tmp_path, "img2dataset", "--per-tar", "50")
    tables = {path.name for path in (tmp_path / "raw").glob("*.parquet")}
    assert tables in (set(), {f"0000{n}.parquet" for n in range(3)})  # without and with pyarrow
    names = {path.name for path in (tmp_path / "raw").iterdir()} - tables
    assert names == {f"0000{n}{end}" for n in range(3) for end in (".tar", "_stats.json")}
    assert json.loads((tmp_path / "raw/00002_stats.json").read_text())["successes"] == 20
    with tarfile.open(tmp_path / "raw/00002.tar") as archive:
        members = archive.getnames()
        assert members[:3] == ["000020000.jpg", "000020000.json", "000020000.txt"]
        row = json.load(archive.extractfile("000020019.json"))
    assert Counter(name[-4:] for name in members) == {".jpg": 20, "json": 20, ".txt": 20}
    assert (row["key"], row["status"], row["width"]) == ("000020019", "success", 32)


@pytest.mark.parametrize("layout", generate.SIZES)
def test_the_seed_decides_every_byte_for_any_number_of_workers(tmp_path, layout):
    contents = []
    for name, seed, workers in (("a", "3", 2), ("b", "3", 1), ("c", "4", 2)):
        run(tmp_path / name, layout, "--seed", seed, workers=workers)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name / "raw").iterdir()})
    first, again, other = contents
    assert first == again
    assert first.keys() == other.keys() and first != other


def test_every_image_differs_until_all_combinations_were_used(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (18, 17, 3), dtype=np.uint8)
    monkeypatch.setattr(crops, "canvases", lambda size: [noise, noise[::-1].copy()])
    monkeypatch.setattr(crops, "GRAY_EVERY", 10**9)
    count = 3 * 2 * 2 * len(crops.QUALITIES) * 2  # positions, flips, qualities, canvases
    assert len({crops.jpeg(number, 16, seed=5) for number in range(count)}) == count
    crops.check_count(count, 16)
    with pytest.raises(runtime.ParameterError, match=f"expected at most {count}"):
        crops.check_count(count + 1, 16)


@pytest.mark.parametrize("options, code, message", [
    (("--images", "59"), 2, "error: --images 59: expected at least 60"),
    (("--images", "100000000000", "--size", "32"), 2, "error: --images 100000000000: expected at most"),
    (("--images", "60", "--size", "8"), 2, "--size 8: expected 16 to 1024"),
    (("--images", "60", "--size", "32", "--out", "mine.txt/raw"), 3, "error: mine.txt/raw: cannot be written"),
    (("--images", "60", "--size", "32", "--out", "."), 3, "error: .: not an empty folder; choose another --out"),
])  # fmt: skip
def test_wrong_options_write_nothing(tmp_path, options, code, message):
    (tmp_path / "mine.txt").touch()
    done = processes.call("tools.generate", "--out", "raw", *options, folder=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_little_space_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    order = generate.Order(2000, "places", 32, 100, 0, tmp_path / "raw")
    monkeypatch.setattr(generate.shutil, "disk_usage", lambda path: generate.shutil._ntuple_diskusage(9, 9, 100_000))
    with pytest.raises(runtime.DataError, match=r"bytes are needed, 100,000 are free"):
        generate.generate(order)
    assert not any((tmp_path / "raw").iterdir())
