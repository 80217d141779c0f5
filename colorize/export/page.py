"""A trained model as one HTML file that colors photos in a browser: no server, and no request leaves the page.

The file holds the model (ONNX), ONNX Runtime Web as WebAssembly, and the scripts in `assets/`. `color.js`, `resize.js`
and `network.js` do there what `photos` does in Python; their results differ by at most one 8-bit level.

The content security policy allows no request, and only the style sheet and the script whose hashes it names. The code
of the worker is text in the page. The worker inherits the policy.
"""

from __future__ import annotations

import base64
import gzip
import html
import math
from pathlib import Path
from string import Template
from typing import Any

import colorize
from colorize import runtime
from colorize.color import cielab, gamut
from colorize.export import facts, onnx, web_runtime
from colorize.models import files
from colorize.models.contract import Classifier, Network
from colorize.photos import mark, predict
from colorize.runtime.inline import json_text, source_hash

ASSETS = Path(__file__).parent / "assets"
WORKER = ("resize", "color", "distribution", "network", "metadata", "write", "photo", "zip", "worker")  # in this order
PAGE = ("requests", "viewer", "app")
RAMP = (  # the colors of the entropy map, dark to bright: those of the report's page
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
TICKS = (1, 3, 10, 30, 100, 313)  # numbers of colors on the scale of the entropy map

_TEMPERATURE, _STRENGTH = 0.123456789, 1.123456789  # stand for the values that the page inserts into the mark


def write(folder: Path, path: Path, fp16: bool = False, runtime_folder: Path | None = None) -> int:
    """Write the page of a trained model.

    Args:
        folder: folder of the model.
        path: the HTML file.
        fp16: store the weights of the convolutions as float16, which halves the model.
        runtime_folder: folder of the npm package `onnxruntime-web`; by default where `make export` puts it.

    Returns:
        bytes of the file.

    Raises:
        DataError: the model or ONNX Runtime Web is missing or damaged.
        ParameterError: the packages for ONNX are missing.
    """
    content = build(folder, fp16, runtime_folder)
    with runtime.atomic_write(path) as file:
        file.write(content)
    return len(content)


def build(folder: Path, fp16: bool = False, runtime_folder: Path | None = None) -> bytes:
    """The page as bytes; the arguments and errors are those of `write`. Equal inputs give equal bytes."""
    web = web_runtime.read(runtime_folder)  # before the model is exported, which takes seconds
    network, sidecar = files.load(folder)
    known = facts.gather(folder, sidecar)
    is_distribution = isinstance(network, Classifier)
    style = _style()
    script = "\n".join(_asset(f"{name}.js") for name in PAGE)
    return (
        Template(_asset("template.html"))
        .substitute(
            style=style,
            style_hash=source_hash(style),
            script=script,
            script_hash=source_hash(script),
            worker=_worker(web.script),
            wasm=_packed(web.wasm),
            model=_packed(onnx.build(folder, fp16)),
            facts=json_text(_facts(network, sidecar, is_distribution)),
            demonstration=_asset("demonstration.html") if known.is_demonstration else "",
            temperature=_temperature() if is_distribution else "",
            sure=_sure() if is_distribution else "",
            facts_list=_facts_list(known, fp16),
            runtime_version=html.escape(web_runtime.VERSION),
            license=html.escape(_asset("onnxruntime-web.LICENSE")),
        )
        .encode()
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _style() -> str:
    places = [100 * math.log(number) / math.log(gamut.NUM_BINS) for number in TICKS]
    ticks = "\n".join(f".tick{n} {{ left: {place:.1f}%; }}" for n, place in enumerate(places))
    return Template(_asset("page.css")).substitute(ramp=", ".join(f"rgb{color}" for color in RAMP), ticks=ticks)


def _worker(runtime_script: str) -> str:
    """The code of the worker: ONNX Runtime Web, and our scripts in a scope of their own, away from its short names."""
    ours = "\n".join(_asset(f"{name}.js") for name in WORKER)
    return f"{runtime_script}\n(() => {{\n{ours}\n}})();\n"


def _facts(network: Network, sidecar: dict[str, Any], is_distribution: bool) -> dict[str, Any]:
    """What the scripts need to know about the model and about colors."""
    return {
        "trainingSize": sidecar["size"],
        "step": network.multiple_of,
        "finer": predict.FINER,
        "maxRatio": predict.MAX_RATIO,
        "isDistribution": is_distribution,
        "gamut": gamut.GAMUT_AB.tolist(),
        "abScale": cielab.AB_SCALE,
        "ramp": RAMP,
        "xmp": _xmp(sidecar, is_distribution),
        "color": {
            "xyzFromRgb": cielab.matrix("xyz_from_rgb"),
            "rgbFromXyz": cielab.matrix("rgb_from_xyz"),
            "knee": cielab.KNEE,
            "slope": cielab.SLOPE,
            "tolerance": cielab.TOLERANCE,
        },
    }


def _xmp(sidecar: dict[str, Any], is_distribution: bool) -> str:
    """The mark, with @source@, @temperature@ and @strength@ where the page inserts the values of a photo."""
    stand_in = mark.Mark(
        source_sha256="@source@",
        model=sidecar["model"],
        model_sha256=sidecar["weights_sha256"],
        temperature=_TEMPERATURE if is_distribution else None,
        size=None,
        strength=_STRENGTH,
        version=colorize.__version__,
    )
    text = mark.to_xmp(stand_in, {}).decode("utf-8")
    return text.replace(repr(_TEMPERATURE), "@temperature@").replace(repr(_STRENGTH), "@strength@")


def _temperature() -> str:
    return Template(_asset("temperature.html")).substitute(value=predict.DEFAULT_TEMPERATURE)


def _sure() -> str:
    """The switch of the entropy map, with its scale."""
    ticks = "".join(f'<span class="tick{n}">{number}</span>' for n, number in enumerate(TICKS))
    return Template(_asset("sure.html")).substitute(ticks=ticks)


def _facts_list(known: facts.Facts, fp16: bool) -> str:
    """What a reader can know about the model, as the entries of a <dl>."""
    sidecar, data = known.sidecar, known.data
    entries = {
        "Model": f"{known.name} ({facts.model_title(sidecar['model'])}, width {sidecar['width']})",
        "Trained on": data.title if data else sidecar.get("dataset", "unknown images"),
        "Size of the training images": f"{sidecar['size']} x {sidecar['size']} pixels",
        "Weights in this page": "16-bit numbers" if fp16 else "32-bit numbers",
        "SHA-256 of the trained weights": sidecar["weights_sha256"],
        "Made with": f"let-there-be-color {colorize.__version__}",
    }
    return "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in entries.items())


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")
