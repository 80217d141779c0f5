"""A stage's promise: what it depends on, what counts as a change, what is said of it."""

import shutil
import threading
from pathlib import Path

import pytest
import yaml

from colorize.pipeline import definition, digests, promise
from colorize.runtime import DataError, ParameterError

DVC_YAML = """
stages:
  many:
    foreach: [a, b]
    do:
      cmd: true
      deps: ["data/shards/${item}", colorize/code]
      params: [train, shard.size]
      outs: ["data/models/${item}", "data/records/many-${item}.json"]
      metrics: [{"results/${item}.json": {cache: false}}]
  grid:
    matrix: {dataset: [a], model: [x]}
    cmd: true
    deps: [stages/grid.py]
    params: [train]
    outs: ["data/out/${item.dataset}-${item.model}", "data/records/grid-${item.dataset}-${item.model}.json"]
"""

DVC_OF_PAIRS = """
stages:
  pair:
    foreach: {both: {first: a, second: b}}
    do:
      cmd: true
      deps: ["data/${item.first}", "data/${item.second}"]
      params: [unions]
      outs: ["sources/${key}.yaml", "data/records/pair-${key}.json"]
"""


@pytest.fixture
def project(repo, tmp_path, monkeypatch) -> Path:
    """A scratch project, the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DVC_YAML)
    shutil.copy(repo / "profiles/ci.yaml", "params.yaml")
    shutil.copy(repo / ".dvcignore", ".dvcignore")
    for name in ("data/shards/objects/manifest.json", "colorize/code/one.py", "colorize/code/two.py", "stages/grid.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    return tmp_path


@pytest.fixture
def running(project) -> promise.Promise:
    """The stage `many@objects` under way."""
    return promise.Promise(definition.read("many", {"dataset": "objects"}))


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def test_a_definition_has_the_names_of_its_item_in_it(project):
    many, grid = definition.read("many", {"dataset": "a"}), definition.read("grid", {"dataset": "a", "model": "x"})
    assert (many.name, many.what) == ("many@a", "many a")
    assert many.deps == (Path("data/shards/a"), Path("colorize/code"))
    assert many.outs == (Path("data/models/a"), Path("results/a.json"))
    assert many.folders == (Path("data/models/a"), Path("results"))
    assert (grid.name, grid.record) == ("grid@a-x", Path("data/records/grid-a-x.json"))


def test_a_definition_of_a_loop_over_a_mapping_has_the_fields_of_its_item(project):
    Path("dvc.yaml").write_text(DVC_OF_PAIRS)
    pair = definition.read("pair", {"dataset": "both"}, fields={"first": "a", "second": "b"})
    assert (pair.name, pair.record) == ("pair@both", Path("data/records/pair-both.json"))
    assert pair.deps == (Path("data/a"), Path("data/b"))
    assert pair.outs == (Path("sources/both.yaml"),) and pair.folders == (Path("sources"),)


@pytest.mark.parametrize("text", ["", "stages: 1", "stages: {many: {do: {}}}", "stages: [", "\x00"])
def test_a_definition_that_cannot_be_read_is_one_line(project, text):
    Path("dvc.yaml").write_text(text)
    with pytest.raises(
        DataError, match=r"^dvc\.yaml: the stage 'many' cannot be read .*; run `git checkout dvc\.yaml`$"
    ):
        definition.read("many", {"dataset": "a"})


def test_every_stage_of_the_project_is_read_as_dvc_reads_it(repo, monkeypatch):
    from dvc.repo import Repo

    monkeypatch.chdir(repo)
    with Repo() as dvc:
        for stage in dvc.index.stages:
            name, _, item = stage.addressing.partition("@")
            dataset = "source" if name in ("evaluate", "baseline") else "dataset"
            names = (dataset, "model", "seed")
            values = dict(zip(names, item.split("-"), strict=False)) if item else {}
            ours = definition.read(name, values)
            theirs = {Path(out.def_path) for out in stage.outs}
            assert ours.name == stage.addressing and {*ours.outs, ours.record} == theirs
            deps = [Path(dep.def_path) for dep in stage.deps if dep.def_path != "params.yaml"]
            assert set(ours.deps) == set(deps)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        ({"lr": 0.1, "steps": 3}, {"lr": 0.2, "steps": 3}, ["train.lr 0.1 -> 0.2"]),
        ({"a": 1}, {"b": 1}, ['train.a 1 -> "absent"', 'train.b "absent" -> 1']),
        (1, 1.0, ["train 1 -> 1.0"]),
        (True, 1, ["train true -> 1"]),
        ([1, 2], [2, 1], ["train [1, 2] -> [2, 1]"]),
        ({"a": {"b": None}}, {"a": {"b": None}}, []),
        ({"a": 1}, "text", ['train {"a": 1} -> "text"']),
    ],
)
def test_what_counts_as_another_parameter(before, now, changes):
    assert promise.difference("train", before, now) == changes


def test_nothing_has_changed_at_first(running):
    running.check()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("params.yaml", "width: ", "width: 1", r"params\.yaml {} \(train\.width [\d.]+ -> 1[\d.]+\)"),
        ("params.yaml", "size: 64", "size: 32", r"params\.yaml {} \(shard\.size 64 -> 32\)"),
        ("colorize/code/two.py", "two", "other", r"colorize/code/two\.py {}"),
        ("data/shards/objects/manifest.json", "json", "JSON", r"data/shards/objects/manifest\.json {}"),
    ],
)
def test_a_change_is_named_with_the_remedy(running, monkeypatch, file, old, new, said):
    monkeypatch.setattr(promise, "_SETTLE_S", 0)
    edit(file, old, new)
    said = said.replace("{}", "changed during the run")
    with pytest.raises(
        DataError, match=f"^many objects: {said}; undo the change and run again, or keep the change and run again$"
    ):
        running.check()
    edit(file, new, old)
    running.check()


@pytest.mark.parametrize("how", ["new file", "gone", "gone with its folder"])
def test_files_that_come_and_go_are_changes(running, monkeypatch, how):
    monkeypatch.setattr(promise, "_SETTLE_S", 0)
    if how == "new file":
        Path("colorize/code/three.py").touch()
    elif how == "gone":
        Path("colorize/code/one.py").unlink()
    else:
        shutil.rmtree("data/shards")
    with pytest.raises(DataError, match="changed during the run"):
        running.check()


@pytest.mark.parametrize("name", ["__pycache__/one.pyc", ".one.py.swp", "one.py~", ".#one.py", "#one.py#", ".DS_Store"])
def test_what_editors_and_python_leave_behind_is_no_change(running, name):
    (Path("colorize/code") / name).parent.mkdir(exist_ok=True)
    (Path("colorize/code") / name).write_text("x")
    running.check()


def test_parameters_of_others_and_remarks_are_no_change(running):
    edit("params.yaml", "lambda: 0.5", "lambda: 0.25 # of the prior")
    running.check()


def test_a_file_that_an_editor_is_just_writing_is_looked_at_again(running):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text("")
    timer = threading.Timer(0.2, Path("params.yaml").write_text, (text,))
    timer.start()
    running.check()
    timer.join()


def test_parameters_that_are_gone_are_a_change(running, monkeypatch):
    monkeypatch.setattr(promise, "_SETTLE_S", 0)
    Path("params.yaml").unlink()
    with pytest.raises(
        DataError, match=r"params\.yaml changed during the run \(params\.yaml: the file no longer exists\)"
    ):
        running.check()


def test_a_large_file_is_known_by_its_stamp(running, monkeypatch):
    monkeypatch.setattr(promise, "_SETTLE_S", 0)
    monkeypatch.setattr(digests, "LARGE", 10)
    begun = promise.Promise(running.stage)
    assert begun.deps[Path("data/shards/objects")] == {"manifest.json": len("data/shards/objects/manifest.json")}
    edit("data/shards/objects/manifest.json", "json", "JSON")
    with pytest.raises(DataError, match=r"manifest\.json changed during the run"):
        begun.check()


def test_a_dependency_that_cannot_be_read_is_one_line(running):
    Path("colorize/code/three.py").symlink_to("nowhere")
    with pytest.raises(
        DataError, match=r"^colorize/code/three\.py: cannot be read \(No such file or directory\); check"
    ):
        promise.Promise(running.stage)


def test_the_code_has_a_digest_of_its_own(running):
    edit("data/shards/objects/manifest.json", "json", "JSON")
    assert promise.Promise(running.stage).code == running.code
    edit("colorize/code/one.py", "one", "two")
    assert promise.Promise(running.stage).code != running.code


def test_a_folder_has_the_hash_that_dvc_gives_it(repo):
    """Of the committed run: dvc.lock holds the hashes of the code that made it."""
    lock = yaml.safe_load((repo / "dvc.lock").read_text())["stages"]
    deps = {dep["path"]: dep["md5"] for entry in lock.values() for dep in entry["deps"]}
    for name in ("colorize/report", "colorize/data"):
        assert digests.md5_of_listing(digests.listing_of(repo / name)) == deps[name]


def test_an_unknown_data_set_is_refused_before_anything_is_read(project):
    with pytest.raises(ParameterError, match="nowhere is not in"), promise.stage("many", dataset="nowhere"):
        pass


def test_a_file_is_hashed_again_when_its_stamp_changes_or_is_recent(project, monkeypatch):
    path, memory = Path("colorize/code/one.py"), {}
    assert digests.listing_of(path, memory) == {"": digests.md5(b"colorize/code/one.py")}
    assert memory == {}  # too recent to be trusted
    monkeypatch.setattr(digests, "_SETTLED_S", -1)
    digests.listing_of(path, memory)
    assert list(memory) == [path]
    with monkeypatch.context() as patched:
        patched.setattr(digests, "md5_of_file", None)  # must not be called
        digests.listing_of(path, memory)
    path.write_text("colorize/code/two.py")
    assert digests.listing_of(path, memory) == {"": digests.md5(b"colorize/code/two.py")}
