"""Temperature curves: the CSV and the figure."""

import csv
import io

import pytest

from colorize.evaluation import temperature as evaluation
from colorize.layout import Run
from colorize.report import inputs, temperature
from colorize.runtime import DataError


def test_the_csv_has_all_temperatures_of_all_classifiers(make_run):
    run = make_run(("a", "b"), ("regression", "cnn", "unet"))
    text = temperature.to_csv(run.inputs)
    assert text.splitlines()[:3] == [
        "source,target,model,seed,temperature,l2,psnr,colorfulness,true_colorfulness,"
        "cross_entropy,negative_log_likelihood,calibration_error",
        "a,a,cnn,0,0.0,0.03,22.0,50.0,40.0,,,",
        "a,a,cnn,0,0.38,0.02,23.0,44.0,40.0,4.0,3.5,0.2",
    ]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2 * 2 * 2 * 4
    assert {row["model"] for row in rows} == {"cnn", "unet"}


def test_a_line_goes_from_the_mode_to_the_mean_of_each_classifier(make_run):
    figure = temperature.plot_curves(make_run(("objects", "scenes"), ("regression", "cnn", "unet")).inputs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"Trained on {source}\ntested on {target}"
        for source in ("Objects", "Scenes")
        for target in ("Objects", "Scenes")
    ]
    lines = figure.axes[0].lines
    assert [text.get_text() for text in figure.legends[0].get_texts()[:2]] == ["CNN", "Unet"]
    curves = [line for line in lines if len(line.get_xdata()) == 3]
    assert [line.get_xydata().tolist() for line in curves] == 2 * [[[50, 22], [44, 23], [36, 23.5]]]  # without T = 1.5
    assert len({line.get_linestyle() for line in curves}) == len({line.get_color() for line in curves}) == 2
    marks = [line for line in lines if line.get_linestyle() == "None"]
    assert [line.get_marker() for line in marks] == 2 * ["s", "o", "^"]
    assert [line.get_xydata().tolist() for line in marks[:3]] == [[[50, 22]], [[44, 23]], [[36, 23.5]]]
    true = [line for line in lines if list(line.get_xdata()) == [40, 40]]
    assert len(true) == 2


def test_a_line_of_several_seeds_is_their_mean_and_the_csv_has_each(make_run):
    run = make_run(("a",), ("cnn",), [0, 3])
    path = run.folder("a", "cnn", "a", 3) / "temperature.csv"
    path.write_text(path.read_text().replace("22.0,50.0", "20.0,60.0"))
    assert {row["seed"] for row in csv.DictReader(io.StringIO(temperature.to_csv(run.inputs)))} == {"0", "3"}
    line = temperature.plot_curves(run.inputs).axes[0].lines[0]
    assert line.get_xydata().tolist() == [[55, 21], [44, 23], [36, 23.5]]


def test_the_report_reads_the_columns_and_temperatures_that_evaluation_writes():
    assert inputs.TEMPERATURE_COLUMNS == evaluation.COLUMNS
    assert inputs.MARKED_TEMPERATURES.keys() <= set(evaluation.TEMPERATURES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temperature,l2\n0,1\n", r"column `psnr` is missing"),
        (",".join(evaluation.COLUMNS) + "\n0.0,1,1,1,1,,,\n1.0,1,1,1,1,1,1,1\n", r"no row with the temperature 0\.38"),
        (",".join(evaluation.COLUMNS) + "\n0.0,1,x,1,1,,,\n", r"`psnr` is 'x' in a row"),
        (
            ",".join(evaluation.COLUMNS) + "\n0.0,1,,1,1,,,\n0.38,1,1,1,1,1,1,1\n1.0,1,1,1,1,1,1,1\n",
            r"`psnr` is '' in a row",
        ),
    ],
)
def test_a_damaged_curve_is_one_line_with_the_stage(make_run, text, words):
    run = make_run(("a",), ("cnn",))
    (run.folder("a", "cnn", "a") / "temperature.csv").write_text(text)
    with pytest.raises(DataError, match=rf"temperature\.csv: {words}.*run `.*dvc repro evaluate@a-cnn-0`"):
        temperature.to_csv(run.inputs)


def test_the_reliability_is_read_with_the_columns_that_evaluation_writes(make_run):
    assert inputs.RELIABILITY_COLUMNS == evaluation.RELIABILITY_COLUMNS
    run = make_run(("a",), ("cnn",))
    rows = run.inputs.reliability(Run("a", "cnn", 0), "a")
    assert len(rows) == 15
    assert rows[0] == {"low": "0.00000", "high": "0.06667", "pixels": "0", "top_probability": "", "accuracy": ""}
    path = run.folder("a", "cnn", "a") / "reliability.csv"
    path.write_text(path.read_text().replace("0.06667,0.13333,100", "0.06667,0.13333,"))
    with pytest.raises(DataError, match=r"reliability\.csv: `pixels` is '' in a row; run `.*evaluate@a-cnn-0"):
        run.inputs.reliability(Run("a", "cnn", 0), "a")


def test_a_run_without_classifiers_has_no_curves(make_run):
    assert temperature.to_csv(make_run(("a",), ("regression",)).inputs).count("\n") == 1
