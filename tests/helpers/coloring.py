"""For tests of the program `colorize`: an untrained model, small photos, and the program in this process or a child."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import colorize as package
from colorize import __main__ as program
from colorize import runtime
from colorize.models import contract, files

MODEL = Path("data/models/objects-unet-0")
SIZE = 32  # of the training images of the model, pixels


def make_repository(folder: Path, model: str = "unet") -> Path:
    """A folder that looks like the repository, with one untrained model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").touch()
    torch.manual_seed(0)
    network = contract.build_model(model, 0.05)
    with torch.no_grad():
        for head in [network.head] if isinstance(network, contract.Classifier) else []:
            head.weight.mul_(200)  # otherwise all bins are about equally probable, and the colors pale
    files.save(folder / f"data/models/objects-{model}-0", network, {"model": model, "width": 0.05, "size": SIZE})
    return folder


def draw(name: str | Path, height: int = 24, width: int = 32, seed: int = 0, **options: object) -> np.ndarray:
    """Save a photo of noise; returns its pixels."""
    rgb = np.random.default_rng(seed).integers(60, 200, (height, width, 3), dtype=np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(name, **options)
    return rgb


def read(name: str | Path) -> np.ndarray:
    """The pixels of an image; every byte of it is decoded."""
    with Image.open(name) as picture:
        return np.array(picture)


def colorize(*arguments: str | Path) -> int:
    """Run the program in this process; returns its exit code."""
    try:
        program.main(*map(str, arguments))
    except runtime.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        return error.code or 0
    return 0


def json_lines(text: str) -> list[dict]:
    """The objects that `--json` printed."""
    return [json.loads(line) for line in text.splitlines()]


def process(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """The program in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    line = [sys.executable, *options, "-m", "colorize", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)


def names(folder: str | Path) -> list[str]:
    """Paths of all files below a folder, also of hidden ones."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
