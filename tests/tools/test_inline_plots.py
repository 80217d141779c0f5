"""The template of DVC's plots holds the scripts of vendor/."""

import pytest

from tools import inline_plots

TEMPLATE = '<script data-from="a.js">old</script>\n{plot_divs}\n<script data-from="b.js"></script>'


def test_the_template_holds_the_present_files_of_vendor():
    text = inline_plots.TEMPLATE.read_text(encoding="utf-8")
    assert inline_plots.inlined(text, inline_plots.PLOTS) == text, "run `python tools/inline_plots.py`"
    for script in sorted((inline_plots.PLOTS / "vendor").glob("*.js")):
        assert script.read_text(encoding="utf-8").rstrip() in text, script.name


def test_only_the_named_scripts_are_replaced(tmp_path):
    (tmp_path / "a.js").write_text("let a = '\\1'\n")
    (tmp_path / "b.js").write_text("let b")
    page = inline_plots.inlined(TEMPLATE, tmp_path)
    assert page == (
        "<script data-from=\"a.js\">\nlet a = '\\1'\n</script>\n{plot_divs}\n"
        '<script data-from="b.js">\nlet b\n</script>'
    )
    assert inline_plots.inlined(page, tmp_path) == page


@pytest.mark.parametrize("text", ["'</script>'", "'</SCRIPT >'", "<!-- a", "x = {plot_divs}"])
def test_a_script_that_would_break_the_page_is_refused(tmp_path, text):
    (tmp_path / "a.js").write_text(text)
    (tmp_path / "b.js").write_text("")
    with pytest.raises(ValueError, match=r"a\.js contains"):
        inline_plots.inlined(TEMPLATE, tmp_path)
