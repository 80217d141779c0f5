"""The model card of a trained model: `README.md` of a folder for a model hub, generated from the run.

The card begins with a header in YAML, as model hubs read it. Text of others, such as titles and credits, is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import colorize
from colorize.export.facts import SPLITS, DataSet, Facts, Measures, Value, model_title
from colorize.layout import BASELINES
from colorize.models.registry import MODELS

LIBRARY = "let-there-be-color"
UNKNOWN = "unknown: the run that trained this model was not at hand when this card was written"

_TASK = "image-to-image"  # the hubs have no task of their own for colorization
_IN_HEADER = ("l2", "cross_entropy", "accuracy", "psnr", "ciede2000")
_FREE = re.compile(r"public domain|\bCC0\b|\bCC BY \d")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#$~&])")  # characters that mean something in Markdown and HTML


class Shown(NamedTuple):
    """How a measure is shown; the titles are those of the report."""

    title: str
    decimals: int
    better: str  # lower, higher, or empty: neither


SHOWN = {
    "l2": Shown("L2", 4, "lower"),
    "l1": Shown("L1", 4, "lower"),
    "cross_entropy": Shown("Cross Entropy", 3, "lower"),
    "accuracy": Shown("Accuracy", 4, "higher"),
    "psnr": Shown("PSNR", 2, "higher"),
    "ssim": Shown("SSIM", 4, "higher"),
    "ciede2000": Shown("CIEDE2000", 2, "lower"),
    "colorfulness": Shown("Colorfulness", 1, ""),
    "true_colorfulness": Shown("True Colorfulness", 1, ""),
}
DECODINGS = {"": "value", "mode": "mode", "annealed_mean": "annealed mean"}


def render(facts: Facts) -> str:
    """The text of the card, Markdown."""
    sections = [
        _header(facts),
        f"# {_title(facts)}",
        _summary(facts),
        "## How to use it\n\n" + _usage(facts),
        "## Training data\n\n" + _training_data(facts.data),
        "## Training\n\n" + _training(facts.sidecar),
        "## Results\n\n" + _results(facts),
        "## The claims of the paper\n\n" + _claims(facts),
        "## Limits\n\n" + _limits(facts),
        "## Ethics\n\n" + _ETHICS,
        "## License and citation\n\n" + _license(facts),
    ]
    return "\n\n".join(sections) + "\n"


def escaped(text: object) -> str:
    """Text of others on one line, without any meaning in Markdown or HTML."""
    line = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", "".join(c for c in line if c.isprintable()))


# --- header and title ------------------------------------------------------------------------------------------------


def _header(facts: Facts) -> str:
    """Metadata for the hub. A JSON string is also a YAML string, so every text is written as JSON."""
    lines = ["---", *_license_lines(facts), f"library_name: {LIBRARY}", f"pipeline_tag: {_TASK}", "tags:"]
    tags = ["image-colorization", "colorization", "cielab", "pytorch", "safetensors", "onnx"]
    tags += ["demonstration"] if facts.is_demonstration else []
    lines += [f"- {tag}" for tag in tags]
    own = next((one for one in facts.measures if one.target == facts.sidecar.get("dataset")), None)
    metrics = list(_header_metrics(own)) if own else []
    if metrics:
        lines += ["metrics:", *(f"- {metric}" for metric in dict.fromkeys(name for name, _, _ in metrics))]
        lines += ["model-index:", f"- name: {json.dumps(facts.name)}", "  results:", "  - task:"]
        lines += [f"      type: {_TASK}", "      name: Image colorization", "    dataset:"]
        lines += [
            f"      name: {json.dumps(_data_title(facts))}",
            f"      type: {json.dumps(own.target if own else '')}",
        ]
        lines += ["      split: test", "    metrics:"]
        for name, title, value in metrics:
            lines += [f"    - type: {name}", f"      name: {json.dumps(title)}", f"      value: {value}"]
    return "\n".join([*lines, "---"])


def _license_lines(facts: Facts) -> list[str]:
    """MIT only if all training images are free: the terms of other images can restrict what is trained with them."""
    if facts.data and facts.data.is_sample and all(map(_FREE.search, facts.data.credits)):
        return ["license: mit"]
    return ["license: other", "license_name: mit-and-terms-of-the-training-images", "license_link: LICENSE"]


def _header_metrics(measures: Measures) -> Iterable[tuple[str, str, float]]:
    for (name, decoding), value in measures.values.items():
        if name in _IN_HEADER and decoding in DECODINGS:
            about = f" ({DECODINGS[decoding]})" if decoding and _depends_on_decoding(measures, name) else ""
            yield name, f"{SHOWN[name].title}{about}", value.value


def _depends_on_decoding(measures: Measures, name: str) -> bool:
    """Whether a measure is one of the colors, and not of the distribution."""
    return (name, "annealed_mean") in measures.values


def _title(facts: Facts) -> str:
    model, data = escaped(model_title(facts.sidecar["model"])), escaped(_data_title(facts))
    return f"{model} for image colorization, trained on {data}"


def _data_title(facts: Facts) -> str:
    return facts.data.title if facts.data else str(facts.sidecar.get("dataset", "unknown images"))


# --- what it is, and how to use it -----------------------------------------------------------------------------------


def _summary(facts: Facts) -> str:
    output = "a probability for each of 313 color bins" if _is_classifier(facts) else "a and b of every pixel"
    origin = (
        "It is one of the five models of the paper"
        if facts.sidecar["model"] in MODELS
        else "It follows the method of the paper"
    )
    text = (
        "This model adds color to gray photos. Its input is the lightness L of the color space CIELAB, and its output "
        f"is {output}. {origin} *Let There Be Color: Deep Learning Image Colorization* by Olah and Yang. They did not "
        f"write the package {LIBRARY}, which has trained it. Version {colorize.__version__} of the package wrote this "
        "card."
    )
    warning = {
        True: "> **This is a demonstration model.** It was trained with very few photographs or very few steps. It "
        "shows how the method works, and it colors strange photos badly.",
        None: "> It is not known whether this model is more than a demonstration.",
        False: "",
    }[facts.is_demonstration]
    return "\n\n".join(filter(None, [warning, text]))


def _usage(facts: Facts) -> str:
    return (
        f"Install the package `{LIBRARY}`, and download this folder.\n\n"
        "```python\n"
        "import colorize\n\n"
        f'colorizer = colorize.load("path/to/this/folder")  # or "path/to/this/folder/model.onnx"\n'
        'rgb = colorizer("photo.jpg")  # uint8 array (H, W, 3), with the size and the lightness of the photo\n'
        "```\n\n"
        "On the command line: `colorize photo.jpg -o out/ --model path/to/this/folder`.\n\n"
        "| file | content |\n| --- | --- |\n"
        "| `model.safetensors` | the weights |\n"
        "| `model.json` | name and width of the model, the parameters of its training, SHA-256 of the weights |\n"
        "| `model.onnx` | the same network for ONNX Runtime; its metadata have all that the package needs |\n\n"
        f"{_onnx_text(facts)}"
    )


def _onnx_text(facts: Facts) -> str:
    output = "`ab_norm` (batch, 2, height, width), which is ab / 128"
    if _is_classifier(facts):
        output = (
            "`logits` (batch, 313, h, w) of the color bins; the metadata `gamut_ab` list their centers in this order"
        )
    size = facts.sidecar["size"]
    return (
        "The ONNX file has one input, `L_norm` (batch, 1, height, width) float32, which is L / 100, and one output, "
        f"{output}. Height and width are multiples of the metadata `multiple_of`. The training images have {size} x "
        f"{size} pixels; the package gives photos to the network with a short side of one to two times this size."
    )


# --- data and training -----------------------------------------------------------------------------------------------


def _training_data(data: DataSet | None) -> str:
    if data is None:
        return f"Title, number and license of the training images are {UNKNOWN}."
    counts = ", ".join(f"{data.counts[split]:,} {split}" for split in SPLITS if split in data.counts)
    lines = [
        f"- Data set: {escaped(data.title)}",
        f"- Images: {counts or 'the numbers are unknown'}",
        f"- License of the images: {escaped(data.license) or 'not stated'}",
        *(f"- Credit: {escaped(credit)}" for credit in data.credits),
    ]
    text = "\n".join(lines)
    if data.is_sample:
        text += (
            "\n\nAll images are crops of these photographs, which come with Python packages. If a credit names no "
            "license, none is stated. Test and training images come from the same photographs, so the results below "
            "are better than on photographs that the model has not seen."
        )
    return text


def _training(sidecar: dict[str, Any]) -> str:
    rows = [("model", sidecar["model"]), ("training images", f"{sidecar['size']} x {sidecar['size']} pixels")]
    rows += [(name, sidecar[name]) for name in ("seed", "device", "torch") if name in sidecar]
    for section, values in sorted(_dict(sidecar.get("parameters")).items()):
        rows += [(f"{section}.{name}", value) for name, value in sorted(_dict(values).items())]
    table = "\n".join(f"| {escaped(name)} | {escaped(value)} |" for name, value in rows)
    return f"| parameter | value |\n| --- | --- |\n{table}\n| SHA-256 of the weights | `{sidecar['weights_sha256']}` |"


def _dict(value: object) -> dict[str, Any]:
    """The value if it is a dict; `model.json` of other code can have other sections."""
    return value if isinstance(value, dict) else {}


# --- results ---------------------------------------------------------------------------------------------------------


def _results(facts: Facts) -> str:
    if not facts.measures:
        return f"The measures of this model are {UNKNOWN}, or its results are those of another training."
    seeds = f" All values are means over {facts.num_seeds} models with different seeds." if facts.num_seeds > 1 else ""
    text = (
        "Measured on the test images, with 95 % intervals over groups of these images. *Mode*: the most probable color "
        "of each pixel, as in the paper. *Annealed mean*: the default of `colorize`. *Best baseline*: the best value "
        f"that a prediction without training reaches.{seeds} L2 and L1 are those of ab / 128; cross entropy is in "
        "nats, PSNR in dB."
    )
    return "\n\n".join([text, *(_table(measures) for measures in facts.measures)])


def _table(measures: Measures) -> str:
    decodings = [key for key in DECODINGS if any(decoding == key for _, decoding in measures.values)]
    target, images, groups = escaped(measures.target), measures.num_images, measures.num_groups
    lines = [
        f"Test images of {target}: {images:,} images in {groups:,} groups.\n",
        "| measure | " + " | ".join(DECODINGS[key] for key in decodings) + " | best baseline |",
        "| --- | " + " | ".join("---:" for _ in decodings) + " | ---: |",
    ]
    for name, shown in SHOWN.items():
        values = [measures.values.get((name, key)) for key in decodings]
        if any(values):
            better = f" ({shown.better} is better)" if shown.better else ""
            cells = [_shown(value, shown) if value else "" for value in values]
            lines.append(f"| {shown.title}{better} | {' | '.join(cells)} | {_best_baseline(measures, name, shown)} |")
    return "\n".join(lines)


def _shown(value: Value, shown: Shown) -> str:
    text = f"{value.value:.{shown.decimals}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{value.low:.{shown.decimals}f}, {value.high:.{shown.decimals}f}]"


def _best_baseline(measures: Measures, name: str, shown: Shown) -> str:
    found = [
        (value.value, baseline)
        for (measure, _), values in measures.baselines.items()
        for baseline, value in values.items()
        if measure == name and baseline in BASELINES
    ]
    if not found or not shown.better:
        return ""
    value, baseline = min(found) if shown.better == "lower" else max(found)
    return f"{value:.{shown.decimals}f}, {escaped(model_title(baseline))}"


def _claims(facts: Facts) -> str:
    if not facts.claims:
        return f"What the run says about the claims of the paper is {UNKNOWN}."
    rows = "\n".join(f"| {claim} | {verdict} |" for claim, verdict in facts.claims)
    return (
        "All models of the run together say this about the claims of the paper. *Cannot be told*: the intervals are "
        f"too wide for a verdict.\n\n| claim | this run |\n| --- | --- |\n{rows}"
    )


# --- limits, ethics, license -----------------------------------------------------------------------------------------


def _limits(facts: Facts) -> str:
    lines = [
        "The colors are guesses from lightness alone. They say nothing about the true colors of a scene, and the model "
        "gives a plausible color even where it cannot know any.",
        *(
            ["The option `--confidence` of the command writes a map of how unsure the model is."]
            if _is_classifier(facts)
            else []
        ),
        "Colors that are rare in the training images come out too gray or wrong. Objects that are not in the training "
        "images have arbitrary colors.",
        "The network reads a small version of a photo. Small objects and thin lines do not get colors of their own.",
        "Frames of a video are colored independently of each other, so their colors flicker.",
        "The model was not tested on people of different skin colors. Do not use its output to judge what a person "
        "looked like.",
    ]
    if facts.is_demonstration:
        lines.insert(0, "This is a demonstration model: see above. Do not use it for photos that matter to you.")
    return "\n".join(f"- {line}" for line in lines)


def _is_classifier(facts: Facts) -> bool:
    kind = MODELS.get(facts.sidecar["model"])
    return kind is None or kind.is_classifier


_ETHICS = """\
Section 7.1 of the paper names two reasons why colorization is not harmless:

- **The art.** Many photographers and directors chose black and white on purpose. The paper names the films of Akira
  Kurosawa: their style lives on it, and many of his admirers would find a colored version disrespectful. Color that a
  program adds can also damage the artistic value of a historical picture.
- **The people.** Historical photos show real people, whose families may not want their likeness changed. The paper
  names the colored photos of Cambodian torture victims that an artist published in 2021, and the protest against them.
  No machine learning was involved there; models like this one make such changes easier for everybody.

Before you publish a colored photo, ask who made it and who is in it. Say that a model added the colors, and keep the
original. The package marks its results for this purpose: the metadata of each file hold the IPTC's term for partly
generated media (`compositeWithTrainedAlgorithmicMedia`), the model, and the hash of the original."""


def _license(facts: Facts) -> str:
    terms = "The training images have terms of their own; they are unknown here."
    if facts.data:
        terms = (
            f"The training images have terms of their own, see above: {escaped(facts.data.license) or 'not stated'}."
        )
    return (
        f"The files of this folder have the MIT license (`LICENSE`), as far as the authors of {LIBRARY} can give it. "
        f"{terms} Before you publish or sell something that was made with this model, check that these terms allow "
        "it.\n\n"
        'Please cite the paper: Justin Olah and Jenny Yang, "Let There Be Color: Deep Learning Image Colorization", '
        "Stanford University. Section 7.1 of this paper is the source of the section on ethics."
    )
