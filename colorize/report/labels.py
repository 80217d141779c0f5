"""Display settings: titles and numbers of decimals. Only the stage `report` depends on this file.

A new model or metric can have an entry here. Without an entry, the report shows its name and uses the default values.
The titles of data sets are in `sources/titles.yaml`, so a new data set needs no change of the code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from colorize.config import strict_yaml
from colorize.runtime import ParameterError

TITLES = Path("sources") / "titles.yaml"  # below the top folder of the repository
PANELS = {
    "classifier": "Cross entropy",
    "weighted": "Weighted cross entropy / mean class weight",
    "regression": "Regression: L2, logarithmic scale",
}
ABSENT = "-"  # text for a metric that a model does not have
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
MINUS = "\N{MINUS SIGN}"  # sign of negative numbers; differs from ABSENT
PAPER_DECIMALS = 3  # decimals of the paper's numbers


class ModelLabel(NamedTuple):
    """Display settings of a model or a baseline."""

    title: str
    short_title: str = ""  # for narrow columns; if empty, the title is used


class MetricLabel(NamedTuple):
    """Display settings of a metric."""

    title: str
    short_title: str = ""  # for the terminal; if empty, the title is used
    decimals: int = 4
    better: Literal["lower", "higher"] | None = None  # which values are better; None: the best model is not marked
    unit: str = ""  # empty: the measure is a plain number, such as a fraction


MODEL_LABELS = {
    "gray": ModelLabel("Gray"),
    "mean_ab": ModelLabel("Mean ab"),
    "median_ab": ModelLabel("Median ab"),
    "prior": ModelLabel("Constant Prior", "Prior"),
    "target_prior": ModelLabel("Prior of the Target", "Target Prior"),
    "lightness": ModelLabel("p(ab | L)"),
    "oracle": ModelLabel("Oracle"),
    "regression": ModelLabel("Baseline Regression", "Regression"),
    "cnn": ModelLabel("CNN"),
    "cnn_weighted": ModelLabel("CNN with Weights"),
    "unet": ModelLabel("Unet"),
    "unet_weighted": ModelLabel("Unet with Weights"),
}
TABLE1_METRICS = ("l2", "l1", "cross_entropy", "weighted_cross_entropy", "accuracy")  # columns of Table 1
TABLE2_METRICS = ("l2", "l1", "psnr", "ciede2000", "colorfulness", "true_colorfulness")  # columns of Table 2
METRIC_LABELS = {
    "l2": MetricLabel("L2", better="lower"),
    "l1": MetricLabel("L1", better="lower"),
    "cross_entropy": MetricLabel("Cross Entropy", "CE", decimals=3, better="lower", unit="nats"),
    "weighted_cross_entropy": MetricLabel("Weighted CE", "w. CE", decimals=3, better="lower", unit="nats"),
    "accuracy": MetricLabel("Accuracy", "Acc.", better="higher"),
    "psnr": MetricLabel("PSNR", decimals=2, better="higher", unit="dB"),
    "ciede2000": MetricLabel("CIEDE2000", decimals=2, better="lower"),
    "colorfulness": MetricLabel("Colorfulness", decimals=1, unit="8-bit levels"),
    "true_colorfulness": MetricLabel("True Colorfulness", decimals=1, unit="8-bit levels"),
    "colorfulness_error": MetricLabel("Colorfulness Error", decimals=1, better="lower", unit="8-bit levels"),
    "absolute_colorfulness": MetricLabel("Absolute Colorfulness", decimals=1, unit="8-bit levels"),
    "true_absolute_colorfulness": MetricLabel("True Absolute Colorfulness", decimals=1, unit="8-bit levels"),
    "absolute_colorfulness_error": MetricLabel(
        "Absolute Colorfulness Error", decimals=1, better="lower", unit="8-bit levels"
    ),
    "auc": MetricLabel("AuC", better="higher"),
    "rebalanced_auc": MetricLabel("Rebalanced AuC", better="higher"),
    "ssim": MetricLabel("SSIM", better="higher"),
    "near_gray": MetricLabel("Near Gray"),
    "true_near_gray": MetricLabel("True Near Gray"),
    "out_of_gamut": MetricLabel("Out of Gamut", better="lower"),
    "rebalanced_accuracy": MetricLabel("Rebalanced Accuracy", better="higher"),
    "top5_accuracy": MetricLabel("Top-5 Accuracy", better="higher"),
    "normalized_weighted_cross_entropy": MetricLabel("Normalized Weighted CE", decimals=3, better="lower", unit="nats"),
    "target_entropy": MetricLabel("Target Entropy", decimals=3, unit="nats"),
    "kl_divergence": MetricLabel("KL Divergence", decimals=3, better="lower", unit="nats"),
    "class_weight": MetricLabel("Class Weight", decimals=3),
    "inverse_prior": MetricLabel("Inverse Prior", decimals=1),
}
DECODINGS = {"mode": "mode", "annealed_mean": "annealed mean", "mean": "mean"}  # titles; the mode comes first
MODES = ("", "mode")  # Table 1 shows the mode; empty: the model has no distribution


def model_title(model: str) -> str:
    """The title of a model, which is its name in the paper."""
    return _model_label(model).title


def short_model_title(model: str) -> str:
    """The short title of a model, for narrow columns."""
    label = _model_label(model)
    return label.short_title or label.title


def decoding_title(decoding: str, metric: str) -> str:
    """Title of a decoding; empty if the metric does not depend on it, because it is not a measure of the colors."""
    return DECODINGS.get(decoding, "") if metric in TABLE2_METRICS else ""


def metric_title(metric: str) -> str:
    """Title of a metric, the heading of its column."""
    return _metric_label(metric).title


def short_metric_title(metric: str) -> str:
    """Short title of a metric, for narrow columns."""
    label = _metric_label(metric)
    return label.short_title or label.title


def metric_hint(metric: str) -> str:
    """How to read a metric, in one or two sentences: its unit, and which values are better."""
    label = _metric_label(metric)
    sentences = [f"Unit: {label.unit}."] if label.unit else []
    if label.better:
        sentences.append(f"{label.better.capitalize()} values are better.")
    elif truth := METRIC_LABELS.get(f"true_{metric}"):
        sentences.append(f"Good values are close to those of {truth.title}.")
    else:
        sentences.append("Neither low nor high values are better.")
    return " ".join(sentences)


def best_value(values: list[float], metric: str) -> float | None:
    """The best of the values of a metric; None if there are no values, or if `better` of the metric is None."""
    better = _metric_label(metric).better
    if not values or better is None:
        return None
    return max(values) if better == "higher" else min(values)


def format_number(value: float | None, metric: str, decimals: int | None = None, sign: str = "") -> str:
    """Format a value for a table.

    Args:
        value: the value; None if the model does not have this metric.
        metric: name of the metric.
        decimals: number of decimals; None takes the number in the metric's entry.
        sign: "+" also shows the sign of positive values.
    """
    if value is None:
        return ABSENT
    places = _metric_label(metric).decimals if decimals is None else decimals
    return f"{value:{sign}.{places}f}".replace("-", MINUS)


def format_with_sd(value: float | None, sd: float | None, metric: str) -> str:
    """Format a mean over seeds with its standard deviation, such as `0.0250 ± 0.0004`; None: there is none."""
    text = format_number(value, metric)
    return text if sd is None else f"{text} {PLUS_MINUS} {format_number(sd, metric)}"


def read_titles(path: Path = TITLES) -> dict[str, str]:
    """Titles of data sets by name; empty if the file does not exist.

    Raises:
        ParameterError: the file is damaged, or a title is not one line of text; names the file and each wrong entry.
    """
    if not path.exists():
        return {}
    titles = strict_yaml.read(path, missing="cannot be read")
    wrong = [f"{name!r}: {title!r:.80}" for name, title in titles.items() if not (_is_text(name) and _is_text(title))]
    if wrong:
        expected = "each line must be `name: title`, two texts; write a number in quotes"
        raise ParameterError(f"{path}: {expected}; found {', '.join(wrong)}")
    return titles


def _is_text(value: object) -> bool:
    """Whether this is one line of text without control characters."""
    return isinstance(value, str) and bool(value.strip()) and not _NO_TEXT.search(value)


_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _model_label(model: str) -> ModelLabel:
    return MODEL_LABELS.get(model) or ModelLabel(model)


def _metric_label(metric: str) -> MetricLabel:
    return METRIC_LABELS.get(metric) or MetricLabel(metric)
