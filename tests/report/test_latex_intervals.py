"""Table 1 with intervals in LaTeX: balanced, escaped, and with the numbers of Table 1."""

import re

from colorize.report import labels, latex_intervals, table
from colorize.report.measures import Method


def test_latex_is_balanced_and_every_line_has_all_columns(make_run):
    run = make_run(("a", "tiny_imagenet"), ("regression", "cnn", "unet"), seeds=(0, 1))
    run.write_titles("a: '50% & {A} $\\frac_1'\n")
    text = latex_intervals.to_latex(table.read_table(run.inputs))
    assert text.count(r"\begin{") == text.count(r"\end{") == 3
    plain = re.sub(r"\\[{}&%$#_]", "", text)  # without escaped characters
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    lines = [line for line in plain.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(lines) == 2 * (1 + 2 * 3 + 4)
    assert {line.count("&") for line in lines} == {len(labels.TABLE1_METRICS)}
    assert r"Trained and evaluated on 50\% \& \{A\} \$\textbackslash{}frac\_1}" in text
    assert "was trained with 2 random seeds" in text and r"0.5000 $\pm$ 0.0000" in text


def test_values_have_their_intervals_and_marks(make_run):
    run = make_run(("a",), ("regression", "cnn"))
    run.write_metrics("a", "median_ab", "a", l2=0.4)
    run.write_metrics("a", "cnn", "a", l2=0.2)
    found = table.read_table(run.inputs)
    lines = latex_intervals.to_latex(found).splitlines()
    rows = {line.split(" & ")[0]: i for i, line in enumerate(lines)}

    def cells(title: str, below: int = 0) -> list[str]:
        return lines[rows[title] + below].removesuffix(r" \\").split(" & ")

    interval = found.rankings["a", "a", "l2"].intervals[Method("cnn", "mode")]
    assert cells("CNN")[1] == r"\textbf{0.2000}"
    assert cells("CNN", 1)[1] == rf"\scriptsize[{interval.low:.4f}, {interval.high:.4f}]"
    assert cells("Baseline Regression")[1:4] == [r"0.5000\rlap{$^\dagger$}", "0.2500", "-"]
    assert cells("Baseline Regression", 1)[3] == ""
    assert cells("Best baseline")[1] == "0.4000" and cells("Best baseline", 2)[1] == r"\scriptsize Median ab"
    assert cells("Best baseline", 2)[3] == r"\scriptsize Prior" and cells("Best baseline", 3)[3] == ""
