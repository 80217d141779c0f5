"""The page in a real browser: without a network, by pointer and by keyboard, whatever the names of the files are."""

import numpy as np
import pytest

from colorize.report import changes, page
from colorize.report.evidence import gather
from tests.helpers import browser
from tests.report.conftest import MODELS, Outputs

HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
RIGHT_TO_LEFT = "\u202e" + "long " * 60


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests of this file."""
    with browser.launched() as launched:
        yield launched


def make_outputs(root, l2: float = 0.5) -> Outputs:
    """A made-up run with hostile titles and names of files."""
    root.mkdir()
    run = Outputs(root, ["objects", "scenes"], MODELS, [0, 7])
    run.write_titles(f"objects: '{HOSTILE}'\nscenes: '{RIGHT_TO_LEFT}'\n")
    names = np.array([f"{n}{HOSTILE}" if n % 2 else f"{n} {RIGHT_TO_LEFT}" for n in range(run.images)])
    for source in run.datasets:
        for target in run.datasets:
            for model in run.models:
                run.write_predictions(source, model, target, 0, source=names)
    run.write_metrics("objects", "unet", "objects", 0, l2=l2)
    run.write_metrics("objects", "unet", "objects", 7, l2=l2)
    return run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two runs, which differ in one measure of one model."""
    folder = tmp_path_factory.mktemp("runs")
    return make_outputs(folder / "before"), make_outputs(folder / "after", l2=0.25)


@pytest.fixture(scope="module")
def path(outputs, tmp_path_factory):
    """The page of the second run."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_bytes(page.render(gather(outputs[1].inputs)))
    return file


@pytest.fixture
def opened(chromium, path):
    """The page, freshly opened; in the end, nothing may have gone wrong."""
    found = browser.open_page(chromium, path)
    yield found.page
    found.check()
    found.page.context.close()


def section(opened, name: str):
    return opened.locator(f"#{name}")


def choose(opened, name: str, label: str, value: str) -> None:
    section(opened, name).get_by_role("combobox", name=label, exact=True).select_option(value)


@pytest.mark.parametrize(("width", "scheme"), [(400, browser.LIGHT), (1400, browser.DARK)])
def test_the_page_opens_without_errors_and_requests_and_is_accessible(chromium, path, width, scheme):
    opened = browser.open_page(chromium, path, width=width, scheme=scheme)
    sections = opened.page.locator("section")
    assert sections.count() == len(page.BUILDERS)
    assert opened.page.locator("section[data-state=failed]").count() == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.page.locator("img").count() == 0  # that of a hostile name
    assert browser.axe_problems(opened.page) == []
    opened.check()
    opened.page.context.close()


def test_hostile_names_are_shown_as_they_are(opened):
    assert HOSTILE in section(opened, "overview").inner_text()
    assert HOSTILE in section(opened, "gallery").locator(".name").nth(1).text_content()


def column(table, number: int) -> list[float]:
    cells = table.locator(f"tbody tr td:nth-child({number})")
    values = cells.evaluate_all("cells => cells.map((cell) => cell.dataset.sort)")
    return [float(value) for value in values if value]


def test_a_click_and_the_keyboard_sort_table_1(opened):
    table = section(opened, "table").locator("table").first
    button = table.get_by_role("button", name="L2")
    button.click()
    opened.wait_for_function("document.querySelector('#table th[aria-sort]')")
    down = column(table, 2)
    button.focus()
    opened.keyboard.press("Enter")
    opened.wait_for_function("document.querySelector('#table th[aria-sort=ascending]')")
    opened.wait_for_timeout(50)  # the vendored script sorts after a pause
    assert down == sorted(down, reverse=True)
    assert column(table, 2) == sorted(down) and len(set(down)) > 1


def test_the_rows_without_training_can_be_hidden(opened):
    rows = section(opened, "table").locator("tr.untrained").first
    assert rows.is_visible()
    section(opened, "table").get_by_role("checkbox").uncheck()
    assert not rows.is_visible()


def test_a_claim_opens_with_the_keyboard(opened):
    claim = section(opened, "claims").locator("details.claim").first
    claim.locator("summary").focus()
    opened.keyboard.press("Enter")
    assert claim.locator("table").is_visible()


def test_the_matrix_shows_the_chosen_measure(opened):
    cells = section(opened, "matrix").locator("tbody td")
    before = cells.all_inner_texts()
    choose(opened, "matrix", "Measure", "accuracy")
    after = cells.all_inner_texts()
    assert before != after and any(text.startswith("0.1250") for text in after)
    section(opened, "matrix").get_by_role("checkbox").uncheck()
    assert section(opened, "matrix").locator("tbody tr").count() < len(MODELS) + 1


def test_the_curves_tell_their_values_to_pointer_and_keyboard(opened):
    readout = section(opened, "curves").locator(".readout")
    plot = section(opened, "curves").locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".u-over").bounding_box()
    opened.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
    assert readout.inner_text().startswith("step 10: ") and "Unet 1.75" in readout.inner_text()
    plot.focus()
    opened.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("step 0: ")
    section(opened, "curves").get_by_label("Unet", exact=True).uncheck()
    opened.keyboard.press("Tab")
    plot.focus()
    opened.keyboard.press("ArrowRight")
    assert "Unet 1.75" not in readout.inner_text() and "CNN 1.75" in readout.inner_text()


def test_the_curves_have_ink_and_bands(opened):
    counted = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert section(opened, "curves").locator(".u-wrap canvas").evaluate(counted) > 20
    choose(opened, "curves", "Quantity", "val_accuracy")
    assert section(opened, "curves").get_by_role("checkbox").count() == len(MODELS) - 1  # the regression has none


def test_points_of_the_trade_off_tell_their_values(opened):
    point = section(opened, "tradeoff").locator("path[tabindex]").first
    point.focus()
    text = section(opened, "tradeoff").locator("[data-readout]").inner_text()
    assert text == point.get_attribute("aria-label") and "colorfulness 30" in text
    choose(opened, "tradeoff", "Trained on → tested on", "1")
    assert section(opened, "tradeoff").locator("path[tabindex]").count() > 5


def test_the_calibration_follows_its_switches(opened):
    readout = section(opened, "calibration").locator("[data-temperature] .readout")
    section(opened, "calibration").locator("[data-temperature] .plot").focus()
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    first = readout.inner_text()
    assert first.startswith("temperature T 0.38")
    choose(opened, "calibration", "Quantity", "psnr")
    section(opened, "calibration").locator("[data-temperature] .plot").focus()
    for _ in range(2):
        opened.keyboard.press("ArrowRight")
    assert readout.inner_text() != first and "23" in readout.inner_text()


def test_the_arrow_keys_move_over_the_bins(opened):
    plane = section(opened, "prior").locator("svg")
    plane.focus()
    opened.keyboard.press("ArrowRight")
    readout = section(opened, "prior").locator("[data-readout]")
    assert readout.inner_text() == "a 10, b 0: prior 1 %, class weight 2.5"
    choose(opened, "prior", "Size of a square", "1")
    opened.keyboard.press("Tab")
    plane.focus()
    opened.keyboard.press("ArrowLeft")
    assert readout.inner_text() == "a 0, b 0: prior 92 %, class weight 0.5"


def test_the_comparison_of_two_runs_names_what_changed(chromium, outputs, tmp_path):
    before, after = (run.inputs for run in outputs)
    found = changes.compare_runs(before, after)
    params = [{"train": {"lr": rate}} for rate in (0.1, 0.2)]
    file = tmp_path / "compare.html"
    file.write_bytes(page.render_comparison(before, gather(after), found, ["HEAD", "workspace"], params))
    opened = browser.open_page(chromium, file)
    table = section(opened.page, "changes").locator("table", has_text="come first")
    assert table.locator("tbody tr").first.inner_text().split("\t")[2:5] == ["Unet", "mode", "L2"]
    assert "train.lr" in section(opened.page, "changes").inner_text()
    compare = section(opened.page, "gallery").get_by_role("combobox", name="Compare", exact=True)
    assert compare.input_value() == "before"
    assert browser.axe_problems(opened.page) == []
    opened.check()
    opened.page.context.close()
