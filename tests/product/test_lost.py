"""A repair or another profile deletes nothing that DVC cannot bring back, and a check says what it did not look at."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers import processes, projects

MODEL = "cnn"
CELL = f"tiny-{MODEL}-0"
STAGES = (("shard", "tiny"), ("prior", "tiny"), ("train", "tiny", MODEL, "0"), ("evaluate", "tiny", MODEL, "0"))


def run(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a program in a child process; `stdout` has both of its streams."""
    done = processes.call(program, *arguments, folder=folder)
    done.stdout += done.stderr
    return done


def verify(project: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return run("colorize.verify", *arguments, folder=cwd or project)


@pytest.fixture(scope="module")
def made(tmp_path_factory, without_plots) -> Path:
    """A project in git, two of whose profiles are a small run and another one, recorded by DVC."""
    folder = tmp_path_factory.mktemp("made")
    project = projects.make_project(folder / "project", (MODEL,), steps=2)
    (project / "profiles").mkdir()
    shutil.copy(project / "params.yaml", project / "profiles/sample.yaml")
    (project / "profiles/paper.yaml").write_text((project / "params.yaml").read_text().replace("steps: 2", "steps: 3"))
    processes.load_everything()
    for stage in STAGES:
        processes.run(project, stage, folder / "log")
    names = ("shard@tiny", "prior@tiny", f"train@{CELL}", f"evaluate@{CELL}")
    code, output = processes.dvc(project, "commit", "--force", *names)
    assert code == 0, output
    return project


@pytest.fixture
def project(made, tmp_path) -> Path:
    """A copy to damage; outs and cache share their files there too."""
    subprocess.run(["cp", "-a", made, tmp_path / "project"], check=True)
    return tmp_path / "project"


def own_files(project: Path) -> dict[Path, bytes]:
    """Folders and files of a person's own, beside the pipeline's and within them."""
    files = {
        f"data/models/{CELL}.backup/model.json": "{}",
        "data/models/mine/model.safetensors": "weights",
        "data/models/mine/notes.txt": "best so far",
        "data/shards/holidays/manifest.json": '{"format": "another"}',
        "data/priors/old/prior.npy": "",
        "data/evaluations/by hand/x/predictions.npz": "PK",
        "data/photos/a.jpg": "photo",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    return {project / name: text.encode() for name, text in files.items()}


def damage(path: Path) -> None:
    """Another file of the same length in its place, as a restored backup may be."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_a_repair_leaves_folders_that_the_pipeline_did_not_make(project):
    own = own_files(project)
    damage(project / f"data/models/{CELL}/model.safetensors")
    done = verify(project, "--repair")
    assert done.returncode == 0, done.stdout
    assert {path: path.read_bytes() for path in own if path.exists()} == own
    assert not (project / f"data/models/{CELL}").exists()
    code, output = processes.dvc(project, "repro", f"evaluate@{CELL}")
    assert code == 0, output
    assert verify(project).returncode == 0


def test_a_repair_keeps_what_lay_in_a_damaged_out(project):
    notes = project / f"data/models/{CELL}/notes.txt"
    notes.write_text("trained on a Tuesday")
    damage(project / f"data/models/{CELL}/model.safetensors")
    assert verify(project, "--repair").returncode == 0
    assert [path.read_text() for path in project.rglob("notes.txt")] == ["trained on a Tuesday"]


@pytest.mark.parametrize("left", ["nothing of ours", "another format"])
def test_a_repair_leaves_a_cells_folder_in_which_others_keep_something_else(project, left):
    (project / "dvc.lock").unlink()
    folder = project / "data/shards/test/tiny"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "photo.jpg").write_text("photo")
    if left == "another format":
        (folder / "manifest.json").write_text('{"format": "strided-ppm-9"}')
    verify(project, "--repair")
    assert (folder / "photo.jpg").exists()


@pytest.mark.parametrize(
    "own", ["a model that DVC has not recorded", "a changed out", "a file in an out", "a cache that is gone"]
)
def test_another_profile_is_refused_where_an_out_could_not_be_brought_back(project, own):
    mine = {
        "a model that DVC has not recorded": project / f"data/models/{CELL}/model.json",
        "a changed out": project / f"data/histories/{CELL}/history.csv",
        "a file in an out": project / f"data/models/{CELL}/notes.tmp",
        "a cache that is gone": project / f"data/models/{CELL}/model.safetensors",
    }[own]
    if own == "a model that DVC has not recorded":
        lock = yaml.safe_load((project / "dvc.lock").read_text())
        del lock["stages"][f"train@{CELL}"]
        (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    elif own == "a cache that is gone":
        shutil.rmtree(project / ".dvc/cache/files")
    else:
        mine.unlink(missing_ok=True)
        mine.write_text("mine")
    before = (mine.read_bytes(), (project / "params.yaml").read_bytes())
    done = run("tools.use_profile", "paper", folder=project)
    assert mine.exists() and (mine.read_bytes(), (project / "params.yaml").read_bytes()) == before
    assert done.returncode == 3 and done.stdout.startswith("error: ") and done.stdout.count("\n") == 1


def test_another_profile_leaves_own_folders_and_takes_away_what_the_cache_holds(project):
    own = own_files(project)
    done = run("tools.use_profile", "paper", folder=project)
    assert done.returncode == 0, done.stdout
    assert {path: path.read_bytes() for path in own if path.exists()} == own
    assert not (project / f"data/models/{CELL}").exists() and not (project / f"data/evaluations/{CELL}").exists()
    assert run("tools.use_profile", "sample", folder=project).returncode == 0
    _, said = processes.dvc(project, "repro", f"evaluate@{CELL}")
    assert "Running stage" not in said and (project / f"data/models/{CELL}/model.json").exists()


# --- a check checks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["absolute", "with ..", "from a subfolder", "from a subfolder, relative"])
def test_a_path_is_what_the_user_means_by_it(project, how):
    model = project / f"data/models/{CELL}"
    damage(model / "model.safetensors")
    done = {
        "absolute": lambda: verify(project, str(model)),
        "with ..": lambda: verify(project, f"data/shards/../models/{CELL}"),
        "from a subfolder": lambda: verify(project, cwd=project / "data"),
        "from a subfolder, relative": lambda: verify(project, f"models/{CELL}", cwd=project / "data"),
    }[how]()
    assert done.returncode == 3 and f"data/models/{CELL}" in done.stdout


@pytest.mark.parametrize("place", ["data/modles", "/", "..", "colorize", "data/models/mine"])
def test_where_nothing_of_the_pipeline_is_a_check_does_not_say_that_all_is_fine(project, place):
    own_files(project)
    done = verify(project, place)
    assert done.returncode == 2 and "0 problems" not in done.stdout and done.stdout.startswith("error: ")


def test_outside_of_a_repository_a_check_says_so(tmp_path):
    done = verify(tmp_path)
    assert done.returncode == 2 and done.stdout.startswith("error: ") and "0 problems" not in done.stdout


def test_an_out_that_is_not_here_is_named(project):
    shutil.rmtree(project / f"data/models/{CELL}")
    done = verify(project)
    assert f"not checked (first: data/models/{CELL})" in done.stdout


def rewrite(path: Path, old: str, new: str) -> None:
    """Another text in the place of a file, which may share its content with DVC's cache."""
    text = path.read_text(encoding="latin-1")
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new), encoding="latin-1")


def check(project: Path, *paths: str) -> None:
    """Verify names all of these paths, repairs or not, and never ends in a traceback."""
    for arguments in ((), ("--repair",)):
        done = verify(project, *arguments)
        assert "Traceback" not in done.stdout, done.stdout
        assert done.returncode == (0 if arguments else 3)
        assert [path for path in paths if f"{path}: " not in done.stdout] == []


def test_each_bad_file_is_one_line_and_the_rest_is_checked(project):
    damage(project / f"data/histories/{CELL}/history.csv")
    rewrite(project / "data/shards/train/tiny/manifest.json", '"images"', '"imagez"')
    rewrite(project / "data/priors/tiny/prior.npy", "'descr'", "'descs'")
    rewrite(project / f"data/models/{CELL}/model.json", '"width": 0.03', '"width": "wide"')
    npz = project / f"data/evaluations/{CELL}/tiny/predictions.npz"
    content = bytearray(npz.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 99  # compression method of the first member
    npz.unlink()
    npz.write_bytes(content)
    run_entry = next((project / ".dvc/cache/runs").glob("*/*/*"))
    run_entry.chmod(0o644)
    run_entry.write_bytes(b"\xff\xfe\x00")
    rewrite(project / "dvc.lock", "path: data/records/prior-tiny.json\n", "paht: data/records/prior-tiny.json\n")
    folders = ("data/shards/train/tiny", "data/priors/tiny", f"data/models/{CELL}", f"data/evaluations/{CELL}")
    check(project, *folders, f"data/histories/{CELL}", run_entry.relative_to(project).as_posix(), "dvc.lock")


def test_odd_files_in_the_place_of_outs_are_one_line(project):
    damage(project / f"data/histories/{CELL}/history.csv")
    weights = project / f"data/models/{CELL}/model.safetensors"
    weights.unlink()
    weights.symlink_to("/nowhere/at/all")
    table = project / "data/shards/train/tiny/images.csv"
    table.unlink()
    table.mkdir()
    picture = project / "data/priors/tiny/prior.png"
    picture.unlink()
    picture.symlink_to("/proc/self/mem")  # which ends in an input/output error, as a dying disk does
    check(
        project, f"data/histories/{CELL}", f"data/models/{CELL}", "data/shards/train/tiny", "data/priors/tiny/prior.png"
    )


def test_an_out_that_is_a_link_is_checked_and_what_it_leads_to_stays(project):
    shutil.move(project / f"data/models/{CELL}", project / "elsewhere")
    (project / f"data/models/{CELL}").symlink_to(project / "elsewhere")
    damage(project / "elsewhere/model.safetensors")
    check(project, f"data/models/{CELL}")
    assert (project / "elsewhere/model.safetensors").exists()


def test_without_dvc_the_rest_is_checked(project):
    shutil.rmtree(project / ".dvc")
    damage(project / f"data/histories/{CELL}/history.csv")
    check(project, f"data/histories/{CELL}")
    assert "DVC's cache was not checked" in verify(project).stdout
