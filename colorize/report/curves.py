"""Training curves of every run: one tidy CSV for DVC's plots, and the appendix's figure."""

import csv
import io
import math

from colorize.models.registry import MODELS
from colorize.report.grid import encode_plot
from colorize.report.inputs import HISTORY_COLUMNS, Inputs, dataset_title, model_title

CSV_COLUMNS = ("run", "dataset", "model", *HISTORY_COLUMNS)
PANELS = {"classifier": "Cross entropy", "weighted": "Weighted cross entropy", "regression": "Regression: L2 loss"}
# One hue a data set, one shade an architecture (dark: cnn and regression, light: unet).
HUES = [("#1b4f8f", "#6ba3d6"), ("#b3501b", "#f0a35e"), ("#1d7a4d", "#74c69d"), ("#6a3d9a", "#b89bd6")]


def to_csv(inputs: Inputs) -> str:
    """Histories of all runs below each other; numbers as training wrote them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for dataset in inputs.datasets:
        for model in inputs.models:
            for row in inputs.history(dataset, model):
                writer.writerow([f"{dataset}-{model}", dataset, model, *(row[name] for name in HISTORY_COLUMNS)])
    return text.getvalue()


def panel_of(model: str) -> str:
    """Which panel a model's curves stand in; their losses have different scales."""
    spec = MODELS[model]
    return "regression" if not spec.is_classifier else "weighted" if spec.is_weighted else "classifier"


def draw(inputs: Inputs) -> bytes:
    """PNG of the loss curves, training solid and validation dashed; one panel a kind of loss."""
    return encode_plot(plot(inputs))


def plot(inputs: Inputs):
    """The matplotlib figure that `draw` encodes."""
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if any(panel_of(model) == panel for model in inputs.models)]
    figure = Figure(figsize=(4.3 * len(panels), 3.9), dpi=150, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for i, dataset in enumerate(inputs.datasets):
            for model in (model for model in inputs.models if panel_of(model) == panel):
                label = f"{model_title(model)}, {dataset_title(dataset)}"
                color = HUES[i % len(HUES)][model.startswith("unet")]
                _draw_run(axes, inputs.history(dataset, model), color, label)
        _finish(axes, PANELS[panel])
    figure.legend(handles=_line_styles(), loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return figure


def _draw_run(axes, history: list[dict[str, str]], color: str, label: str) -> None:
    steps = [int(float(row["step"])) for row in history]
    axes.plot(steps, _numbers(history, "train_loss"), color=color, linewidth=1.4, label=label)
    axes.plot(steps, _numbers(history, "val_loss"), color=color, linewidth=1.4, linestyle=(0, (4, 2)))


def _finish(axes, title: str) -> None:
    axes.set_title(title, fontsize=10, weight="bold", loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7.5, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))  # off the lines


def _line_styles() -> list:
    from matplotlib.lines import Line2D

    styles = {"training": "-", "validation": (0, (4, 2))}
    return [
        Line2D([], [], color="#444444", linewidth=1.4, linestyle=style, label=name) for name, style in styles.items()
    ]


def _numbers(history: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) if row[name] else math.nan for row in history]
