"""The whole pipeline with its tars and DVC's remote in buckets of a real S3 server; two trainings at the same time."""

import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import object_stores, processes
from tests.helpers.clones import clone, commit, run, stages_run
from tests.helpers.pipelines import dvc

MODELS = ("regression", "cnn")
STAGES = (
    "shard@mine",
    "prior@mine",
    *(f"{stage}@mine-{model}-0" for model in MODELS for stage in ("train", "evaluate")),
    "baseline@mine",
    "report",
)


@pytest.fixture
def repo(tmp_path, s3) -> Path:
    """A clone with the ci profile, whose only data set is three tars in a bucket."""
    pytest.importorskip("dvc_s3", reason=f"dvc-s3 is not installed; {object_stores.REMEDY}")
    pytest.importorskip("obstore", reason=f"obstore is not installed; {object_stores.REMEDY}")
    rng = np.random.default_rng(0)
    for number in range(3):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for position in range(12):
                photo = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((80, 80)).save(photo, "JPEG")
                for ending, content in (("jpg", photo.getvalue()), ("json", json.dumps({"n": position}).encode())):
                    info = tarfile.TarInfo(f"{number:05d}{position:04d}.{ending}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        s3.put(f"tars/{number:05d}.tar", file.getvalue())
        s3.put(f"tars/{number:05d}_stats.json", b"{}")
    repo = clone(tmp_path / "repo")
    (repo / "dvc.lock").unlink(missing_ok=True)
    for folder in ("figures", "metrics"):
        shutil.rmtree(repo / "results" / folder)
    (repo / "sources/mine.yaml").write_text(f"path: {s3.url('tars')}/\nfractions: {{val: 0.2, test: 0.2}}\n")
    profile = (repo / "profiles/ci.yaml").read_text()
    profile = profile.replace("- objects\n- scenes\n", "- mine\n", 1).replace(
        "    objects:\n    - 1\n    - 22\n", "    mine:\n    - 0\n"
    )
    profile = re.sub(r"(?m)^- (cnn_weighted|unet|unet_weighted)\n", "", profile)
    profile = profile.replace("source: objects\n    target: objects", "source: mine\n    target: mine")
    (repo / "params.yaml").write_text(profile.replace("figure6_model: unet", "figure6_model: cnn"))
    (repo / ".dvc/config.local").write_text(
        f"['remote \"store\"']\n    url = {s3.url('dvc')}\n    endpointurl = {s3.endpoint}\n"
    )
    commit(repo)
    processes.load_everything()
    return repo


def test_sources_and_remote_are_in_buckets_and_no_secret_is_anywhere(repo, tmp_path):
    printed = dvc(repo, "repro", *STAGES[:2])
    jobs = [f"train@mine-{model}-0" for model in MODELS]
    logs = [tmp_path / f"{job}.log" for job in jobs]
    running = [
        processes.start_dvc(repo, ("--wait-for-lock", "repro", "--single-item", job), log)
        for job, log in zip(jobs, logs, strict=True)
    ]
    assert [processes.wait(job) for job in running] == [0, 0], [log.read_text() for log in logs]
    assert stages_run(dvc(repo, "repro", "--dry", *jobs)) == []
    printed += dvc(repo, "repro") + "".join(log.read_text() for log in logs)
    assert "mine → mine" in (repo / "results/table1.md").read_text()
    manifest = json.loads((repo / "data/shards/train/mine/manifest.json").read_text())
    assert manifest["archive"]["archives"] == 3
    assert manifest["skipped"] == {"in no split": 36}
    run(repo, "git", "add", "--all")
    run(repo, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "run")
    run(tmp_path, "git", "clone", "--quiet", str(repo), "other")
    other = tmp_path / "other"
    shutil.copy(repo / ".dvc/config.local", other / ".dvc/config.local")
    printed += dvc(repo, "push", "--remote", "store")
    printed += dvc(other, "pull", "--remote", "store")
    assert "up to date" in dvc(other, "status")
    assert stages_run(dvc(other, "repro", "--dry")) == []
    secrets = [object_stores.KEYS[name].encode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    files = [path for folder in (repo, other) for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if not {".git", "tests"} & set(path.relative_to(tmp_path).parts)]
    assert len(files) > 100
    for secret in secrets:
        assert secret not in printed.encode()
        assert not [path for path in files if secret in path.read_bytes()]
