"""The faster YAML reads and writes what DVC's own does, byte for byte."""

import io
from collections import OrderedDict

import ruamel.yaml
import yaml
from dvc.repo import Repo
from dvc.utils.serialize import _yaml

from colorize.config.strict_yaml import FastLoader
from tests.helpers import fast_yaml, processes, projects

ODD = [1e-8, 2e-3, 1e22, 0.5, -3, True, "1e5", "010", "yes", "true", "null", "", "1:30", "a: b", "é" * 99]


def test_dvc_lock_is_read_and_written_as_by_dvc(repo):
    stages = yaml.load((repo / "dvc.lock").read_text(), FastLoader)["stages"]
    names = [next(name for name in stages if name.startswith(kind)) for kind in ("prior", "train", "evaluate")]
    data = {"schema": "2.0", "stages": {name: OrderedDict(stages[name]) for name in names}, "odd": ODD, "none": None}
    expected, written = io.StringIO(), io.StringIO()
    _yaml._dump(data, expected)
    fast_yaml.faster_writer(_yaml._dump)(data, written)
    text = expected.getvalue()
    assert written.getvalue() == text
    read = fast_yaml.faster_parser(_yaml.parse_yaml)(text, "dvc.lock", "rt")
    assert type(read) is dict
    assert read == _yaml.parse_yaml(text, "dvc.lock") == data


def test_dvc_reads_all_its_files_with_it(repo, tmp_path, monkeypatch):
    project = projects.make_project(tmp_path / "project", ("cnn",))
    (project / "dvc.lock").write_bytes((repo / "dvc.lock").read_bytes())

    def count_stages() -> None:
        fast_yaml.install()
        monkeypatch.setattr(ruamel.yaml, "YAML", None)  # DVC's own parser
        assert len(Repo().index.stages) == len(projects.STAGES) - 2 * (len(projects.MODELS) - 1)

    log = tmp_path / "log"
    assert processes.wait(processes.fork(count_stages, project, log)) == 0, log.read_text()
