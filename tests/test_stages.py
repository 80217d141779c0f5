"""Every stage of dvc.yaml depends on exactly the code that it imports and the parameters that it reads.

Left out on purpose: `colorize/__init__.py`, `layout.py`, `runtime/`, `pipeline/` and `config/params.py`, which must not
change a result, and `__init__.py` files that hold nothing but a docstring.
"""

import ast
import functools
from pathlib import Path

import pytest
import yaml

from colorize.config.params import Settings
from colorize.data.shards import SPLITS
from colorize.layout import UNTRAINED, Cell, Folders, Run, evaluation_stage, stage_name
from colorize.models.registry import MODELS
from colorize.pipeline import definition

REPO = Path(__file__).resolve().parents[1]
EXEMPT = {"colorize/__init__.py", "colorize/layout.py", "colorize/config/params.py"} | {
    path.relative_to(REPO).as_posix()
    for name in ("runtime", "pipeline")
    for path in (REPO / "colorize" / name).glob("*.py")
}


def stages() -> dict[str, dict]:
    """Definitions by name, `foreach` and `matrix` stages without their loops."""
    definitions = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
    return {name: definition.get("do", definition) for name, definition in definitions.items()}


STAGES = stages()


def script_of(stage: str) -> str:
    """The file that the stage's command runs."""
    module = STAGES[stage]["cmd"].split()[3]  # exec python -m stages.train ...
    return module.replace(".", "/") + ".py"


def file_of(module: str) -> str | None:
    """The repository's file of a module, None where it is not one of ours."""
    for path in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"):
        if (REPO / path).is_file():
            return path
    return None


@functools.lru_cache
def tree_of(path: str) -> ast.Module:
    """The parsed file."""
    return ast.parse((REPO / path).read_text())


def modules_in(path: str) -> set[str]:
    """Names that a file imports, within functions too; of `from a import b` both `a` and `a.b`."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not followed here"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def is_exempt(path: str) -> bool:
    """Whether a file cannot change a result; what it imports is not followed."""
    is_empty = path.endswith("__init__.py") and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree_of(path).body
    )
    return path in EXEMPT or is_empty


@functools.lru_cache
def closure(script: str) -> frozenset[str]:
    """Our files that a script imports, and those that they import; the script itself included."""
    found, waiting = set(), [script]
    while waiting:
        path = waiting.pop()
        if path in found or is_exempt(path):
            continue
        found.add(path)
        for module in modules_in(path):
            parts = module.split(".")
            parents = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]  # importing a.b runs a/__init__.py
            waiting += [file for file in map(file_of, parents) if file]
    return frozenset(found)


def variants(stage: str) -> list[tuple[set[str], frozenset[str]]]:
    """The dependencies of a stage and the code that it imports: of one that loops over models, for each model.

    Such a stage imports the file of its model by name, `colorize/models/<model>.py`.
    """
    deps, imported = STAGES[stage]["deps"], closure(script_of(stage))
    if not any("${item.model}" in dep for dep in deps if dep.startswith("colorize")):
        return [(set(deps), imported)]
    return [
        ({dep.replace("${item.model}", model) for dep in deps}, imported | closure(f"colorize/models/{model}.py"))
        for model in MODELS
    ]


def covered_by(deps: set[str]) -> set[str]:
    """Files of ours among dependencies, those in folders included."""
    code = {dep for dep in deps if dep.startswith(("colorize", "stages"))}
    files = {dep for dep in code if (REPO / dep).is_file()}
    return files | {p.relative_to(REPO).as_posix() for folder in code - files for p in (REPO / folder).rglob("*.py")}


def test_the_closure_follows_imports_within_functions_and_through_packages():
    reached = closure("stages/train.py")
    assert {"stages/train.py", "colorize/models/contract.py", "colorize/color/gamut.py"} <= reached
    assert not reached & EXEMPT


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_exactly_the_code_that_the_stage_imports(stage):
    found = [(covered_by(deps), imported) for deps, imported in variants(stage)]
    missing = set().union(*(imported - covered for covered, imported in found))
    unused = set.intersection(*({p for p in covered - imported if not is_exempt(p)} for covered, imported in found))
    lines = ["".join(f"\n        - {path}" for path in sorted(paths)) for paths in (missing, unused)]
    assert not missing, f"dvc.yaml, stage {stage}: add to `deps`{lines[0]}"
    assert not unused, f"dvc.yaml, stage {stage}: `deps` cover what it does not import{lines[1]}"


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_models_stages_depend_neither_on_the_registry_nor_on_other_models(stage):
    for model, (deps, _) in zip(MODELS, variants(stage), strict=True):
        covered = covered_by(deps)
        assert f"colorize/models/{model}.py" in covered
        others = {f"colorize/models/{other}.py" for other in MODELS if other != model}
        assert not covered & {"colorize/models/registry.py", *others}


def test_layout_names_the_folders_that_dvc_records():
    """No stage depends on layout.py, so its paths must be those of dvc.yaml: DVC would record others than were read."""
    folders, run = Folders(), Run("d", "m", 3)
    shard, prior, baseline = (definition.read(stage, {"item": "d"}) for stage in ("shard", "prior", "baseline"))
    train = definition.read("train", {"dataset": "d", "model": "m", "seed": "3"})
    evaluate = definition.read("evaluate", {"source": "d", "model": "m", "seed": "3"})
    report = definition.read("report", {})
    union = definition.read("union", {"dataset": "d"}, fields={"first": "a", "second": "b"})
    assert {folders.shards(split, member) for split in SPLITS for member in "ab"} < set(union.deps)
    assert union.outs == (folders.source("d"),) and folders.source("d") in shard.deps
    assert {folders.shards(split, "d") for split in SPLITS} == set(shard.outs)
    assert folders.shards("train", "d") in prior.deps and prior.outs == (folders.prior("d"),)
    assert {folders.shards(split, "d") for split in ("train", "val")} < set(train.deps)
    assert {dep.parent for dep in train.deps if dep.suffix == ".npy"} == {folders.prior("d")}
    assert set(train.outs) == {folders.model(run), folders.history(run)}
    assert {folders.shards("test", "t").parent, folders.model(run)} < set(evaluate.deps)
    assert not {folders.shards(split, "t").parent for split in ("train", "val")} & {*evaluate.deps, *baseline.deps}
    assert set(evaluate.outs) == {folders.evaluation(run, "t").parent}
    assert set(baseline.outs) == {folders.evaluation(Run("d", name, None), "t").parent for name in UNTRAINED}
    assert {folders.evaluation(run, "t").parent.parent, folders.history(run).parent} < set(report.deps)
    assert folders.metrics(Cell("d", "m", "t")).parent.parent in report.outs
    assert [found.name for found in (shard, train, evaluate, baseline)] == [
        stage_name("shard", "d"),
        stage_name("train", run.name),
        evaluation_stage(run),
        evaluation_stage(Run("d", "gray", None)),
    ]


@pytest.mark.parametrize("stage", ["shard", "prior", "train", "evaluate", "baseline"])
def test_an_edit_to_the_report_or_to_prediction_recomputes_nothing(stage):
    deps = STAGES[stage]["deps"]
    assert not [dep for dep in deps if dep.startswith(("colorize/report", "colorize/photos", "colorize/__main__"))]
    assert "colorize" not in deps


def test_an_edit_to_how_data_are_made_retrains_nothing_unless_the_data_change():
    deps = STAGES["train"]["deps"]
    assert not [dep for dep in deps if dep.startswith(("colorize/archives", "colorize/sharding"))]
    assert "colorize/prior/picture.py" not in deps


def test_an_edit_to_a_network_recounts_no_colors():
    assert not [
        dep for dep in STAGES["prior"]["deps"] if dep in ("colorize/models/classifiers.py", "colorize/models/blocks.py")
    ]


def reads(path: str) -> set[str]:
    """Dotted parameters that a file reads of an object named `settings`, `train` or `evaluate.named` for example."""
    found, inner = set(), set()
    for node in ast.walk(tree_of(path)):  # outer attributes come before the inner ones that they are made of
        parts, at = [], node
        while isinstance(at, ast.Attribute):
            parts.append(at.attr.removesuffix("_"))
            at = at.value
            inner.add(id(at))
        if parts and id(node) not in inner and isinstance(at, ast.Name) and at.id == "settings":
            found.add(".".join(reversed(parts)))
    return {name for name in found if name.split(".")[0] in Settings.model_fields}


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_exactly_what_the_stage_reads(stage):
    """`dataset()` and `model()` only check a name against the lists, so those are no dependency."""
    listed = set(STAGES[stage]["params"])
    read = set().union(*(reads(path) for path in closure(script_of(stage))))
    read = set().union(*({name} if name in listed else fields_of(name) for name in read))
    missing = {name for name in read if not any(f"{name}.".startswith(f"{have}.") for have in listed)}
    unused = {have for have in listed if not any(f"{name}.".startswith(f"{have}.") for name in read)}
    assert not missing, f"dvc.yaml, stage {stage}: add to `params` {sorted(missing)}"
    assert not unused, f"dvc.yaml, stage {stage}: never reads {sorted(unused)} of its `params`"


def fields_of(name: str) -> set[str]:
    """The fields of a section that is read as a whole; of anything else, itself."""
    field = Settings.model_fields.get(name)
    return {f"{name}.{inner}" for inner in getattr(field and field.annotation, "model_fields", ())} or {name}


@pytest.mark.parametrize("stage", STAGES)
def test_no_parameter_has_a_name_that_the_cache_of_runs_overlooks(stage):
    """It leaves out every key `size` and `nfiles`, those of sizes and numbers of files, wherever they stand."""
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    tracked = {name: functools.reduce(dict.__getitem__, name.split("."), values) for name in STAGES[stage]["params"]}
    waiting = [tracked]
    while waiting:
        keys = waiting.pop()
        assert not {"size", "nfiles"} & keys.keys(), f"dvc.yaml, stage {stage}: list the fields of this section"
        waiting += [value for value in keys.values() if isinstance(value, dict)]


@pytest.mark.parametrize("stage", STAGES)
def test_expensive_outs_are_cached_so_that_the_run_cache_serves_them(stage):
    """A plain out that is not cached, or that persists, switches the run cache off; metrics do not."""
    if stage != "report":
        assert all(isinstance(out, str) for out in STAGES[stage]["outs"])


def test_a_stage_script_is_thin():
    for path in sorted((REPO / "stages").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 60, path.name
