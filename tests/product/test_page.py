"""The page in a real browser: without a network, by pointer and by keyboard, whatever the names of the files are."""

import numpy as np
import pytest

from colorize.report import changes, page
from colorize.report.evidence import gather
from tests.helpers import browser
from tests.report.conftest import HISTORY_HEADER, MODELS, Outputs

HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
RIGHT_TO_LEFT = "\u202e" + "long " * 60
OTHER_HISTORY = (  # of one seed; the other seed's cross entropy stays at 2.5, and its last validation loss is 1.75
    "0,,2.5,0.1,0.02,0.2,,2.25,4.5,0.75,2.5,6.0,1.25",
    "10,1.5,2.0,0.1,0.02,0.2,,2.25,4.5,0.75,3.5,6.0,1.25",
)


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
    run.write_history("objects", "unet", 7, "\n".join([HISTORY_HEADER, *OTHER_HISTORY]) + "\n")
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


def sorted_column(opened, table, number: int) -> list[float]:
    """The numbers of a column after its heading was activated; the vendored script sorts after a pause."""
    opened.wait_for_timeout(50)
    return column(table, number)


def test_a_click_puts_the_best_value_of_table_1_at_the_top_and_the_keyboard_reverses_it(opened):
    table = section(opened, "table").locator("table").first
    button = table.get_by_role("button", name="L2")
    button.click()
    up = sorted_column(opened, table, 2)
    button.focus()
    opened.keyboard.press("Enter")
    assert sorted_column(opened, table, 2) == up[::-1]
    assert up == sorted(up) and len(set(up)) > 1
    table.get_by_role("button", name="Accuracy").click()
    assert "Accuracy" in table.locator("th[aria-sort=descending]").inner_text()


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


def test_the_matrix_follows_the_decoding_and_says_how_to_read_the_measure(opened):
    matrix = section(opened, "matrix")
    assert matrix.locator("caption").inner_text() == "L2. Lower values are better."
    mode = matrix.locator("tbody td").all_inner_texts()
    decoding = matrix.get_by_role("combobox", name="Colors from")
    decoding.focus()
    opened.keyboard.press("ArrowDown")
    assert decoding.input_value() == "annealed_mean"
    assert matrix.locator("tbody td").all_inner_texts() != mode
    choose(opened, "matrix", "Measure", "cross_entropy")
    assert matrix.locator("caption").inner_text() == "Cross Entropy. Unit: nats. Lower values are better."
    assert decoding.is_disabled()  # the cross entropy is not a measure of the colors


CONTRASTS = """cells => cells.map((cell) => {
  const luminance = (text) => {
    const parts = text.match(/[\\d.]+/g).map((level) => level / 255);
    const light = parts.map((level) => level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
  };
  const style = getComputedStyle(cell);
  const both = [luminance(style.color), luminance(style.backgroundColor)].sort((a, b) => b - a);
  return [style.backgroundColor, (both[0] + 0.05) / (both[1] + 0.05)];
})"""


def test_every_text_of_the_heat_map_can_be_read_on_its_color(chromium, tmp_path):
    run = Outputs(tmp_path, ["objects", "scenes"], MODELS, [0])
    for number, model in enumerate(MODELS):
        for place, target in enumerate(run.datasets):
            run.write_metrics("scenes", model, target, l2=0.5 + (2 * number + place) / 10)
    file = tmp_path / "many.html"
    file.write_bytes(page.assemble([page.matrix.build(gather(run.inputs))], "title").encode())
    opened = browser.open_page(chromium, file, width=400, scheme=browser.DARK)
    cells = section(opened.page, "matrix").locator("tbody td").evaluate_all(CONTRASTS)
    assert len({color for color, _ in cells}) == 2 * len(MODELS)
    assert min(contrast for _, contrast in cells) >= 4.5
    heading = section(opened.page, "matrix").locator("tbody th").first
    assert heading.bounding_box()["width"] > 100  # on a telephone, a title is not broken into letters
    opened.check()
    opened.page.context.close()


def test_tables_and_texts_are_there_without_javascript(chromium, path):
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(path.resolve().as_uri())
    assert "0.2500" in section(opened, "matrix").inner_text()
    assert section(opened, "table").locator("tbody tr").first.is_visible()
    claim = section(opened, "claims").locator("details.claim").first
    claim.locator("summary").click()
    assert claim.locator("table").is_visible()
    context.close()


def test_the_keyboard_sorts_the_winners_by_measure(opened):
    table = section(opened, "claims").locator("table.sortable")
    measures = table.locator("tbody tr td:nth-child(3)")
    before = measures.all_inner_texts()
    table.get_by_role("button", name="Measure").focus()
    opened.keyboard.press("Enter")
    opened.wait_for_function("document.querySelector('#claims th[aria-sort]')")
    opened.wait_for_timeout(50)  # the vendored script sorts after a pause
    after = measures.all_inner_texts()
    assert after == sorted(before) != before


def test_the_curves_tell_their_values_to_pointer_and_keyboard(opened):
    readout = section(opened, "curves").locator(".readout")
    plot = section(opened, "curves").locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".u-over").bounding_box()
    opened.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
    assert readout.inner_text().startswith("step 10: ") and "Unet 3 (2.5 to 3.5)" in readout.inner_text()
    plot.focus()
    opened.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("step 0: ") and "Unet 2.5 (2.5 to 2.5)" in readout.inner_text()
    opened.keyboard.press("End")
    assert readout.inner_text().startswith("step 10: ")


def test_a_curve_that_is_switched_off_stays_off_and_the_cursor_stays_at_its_step(opened):
    readout = section(opened, "curves").locator(".readout")
    section(opened, "curves").locator(".plot").focus()
    opened.keyboard.press("End")
    section(opened, "curves").get_by_label("Unet", exact=True).focus()
    opened.keyboard.press("Space")
    choose(opened, "curves", "Quantity", "val_loss")
    opened.wait_for_function("document.querySelector('#curves .readout').innerText.startsWith('step 10: ')")
    assert "Unet " not in readout.inner_text().replace("Unet with", "") and "CNN 1.75" in readout.inner_text()
    section(opened, "curves").get_by_label("Unet", exact=True).check()
    opened.wait_for_function("document.querySelector('#curves .readout').innerText.includes('Unet 1.875')")


INK = """(canvas, [x, width]) => {
  const over = canvas.parentElement.querySelector('.u-over');
  const at = x === 'after' ? over.offsetLeft + over.offsetWidth + 4 : over.offsetLeft + over.offsetWidth / 2;
  const data = canvas.getContext('2d').getImageData(at, over.offsetTop, width, over.offsetHeight).data;
  return [...data].filter((value, n) => n % 4 === 3 && value > 0).length;
}"""


def test_the_best_steps_are_marked_and_several_seeds_have_a_band(opened):
    canvas = section(opened, "curves").locator(".u-wrap canvas")
    assert canvas.evaluate(INK, ["after", 1]) > 0  # half of a diamond at the last step is outside of the axes
    between = canvas.evaluate(INK, ["between", 1])
    section(opened, "curves").get_by_label("Unet", exact=True).uncheck()
    assert between > canvas.evaluate(INK, ["between", 1]) + 30  # the band of the only model whose seeds differ


def test_the_charts_are_drawn_again_for_another_scheme_and_another_width(opened):
    canvas = section(opened, "curves").locator(".u-wrap canvas")
    before = canvas.evaluate("canvas => [canvas.toDataURL(), canvas.width]")
    opened.emulate_media(color_scheme=browser.DARK)
    differs = "before => document.querySelector('#curves .u-wrap canvas').toDataURL() !== before"
    opened.wait_for_function(differs, arg=before[0])
    opened.set_viewport_size({"width": 500, "height": 900})
    opened.wait_for_function("document.querySelector('#curves .u-wrap canvas').width < 500")
    assert before[1] > 900


def test_models_without_a_quantity_have_no_curve(opened):
    assert section(opened, "curves").get_by_role("checkbox").count() == len(MODELS) - 1  # the regression has none
    choose(opened, "curves", "Quantity", "val_l2")
    assert section(opened, "curves").get_by_role("checkbox").count() == len(MODELS)


def test_64_series_look_different(opened):
    looks = opened.evaluate("[...Array(64).keys()].map((n) => `${n % 8} ${page.pattern(n)}`)")
    assert len(set(looks)) == 64


def test_points_of_the_trade_off_tell_their_values_to_pointer_and_keyboard(opened):
    points = section(opened, "tradeoff").locator("path.point[role=img]")
    readout = section(opened, "tradeoff").locator("[data-readout]")
    assert section(opened, "tradeoff").locator("path[tabindex='0']").count() == 1  # a single stop of the Tab key
    points.first.focus()
    assert readout.inner_text() == points.first.get_attribute("aria-label")
    assert "colorfulness 30" in readout.inner_text()
    opened.keyboard.press("ArrowRight")
    assert readout.inner_text() == points.nth(1).get_attribute("aria-label") != points.first.get_attribute("aria-label")
    assert section(opened, "tradeoff").locator(".cross line").count() == 2  # the intervals of both measures
    points.last.hover(force=True)
    assert readout.inner_text() == points.last.get_attribute("aria-label")


def test_the_trade_off_shows_the_chosen_pair_and_error(opened):
    svg = section(opened, "tradeoff").locator("svg.scatter")
    assert "L2 (lower is better)" in svg.text_content()
    choose(opened, "tradeoff", "Error", "l1")
    assert "L1 (lower is better)" in svg.text_content()
    own = section(opened, "tradeoff").locator("path.point[aria-label^='Unet, mode']").get_attribute("aria-label")
    choose(opened, "tradeoff", "Error", "l2")
    choose(opened, "tradeoff", "Trained on → tested on", "1")
    other = section(opened, "tradeoff").locator("path.point[aria-label^='Unet, mode']").get_attribute("aria-label")
    assert "L1 0.2500" in own and "L2 0.5000" in other


def test_the_calibration_follows_its_switches(opened):
    readout = section(opened, "calibration").locator("[data-temperature] .readout")
    section(opened, "calibration").locator("[data-temperature] .plot").focus()
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("temperature T 0.38") and "CNN 0.2" in readout.inner_text()
    choose(opened, "calibration", "Quantity", "psnr")
    opened.wait_for_function(
        "document.querySelector('#calibration [data-temperature] .readout').innerText.includes('23')"
    )
    assert readout.inner_text().startswith("temperature T 0.38")


def test_the_reliability_tells_interval_accuracy_and_number_of_pixels(opened):
    readout = section(opened, "calibration").locator("[data-reliability] .readout")
    section(opened, "calibration").locator("[data-reliability] .plot").focus()
    opened.keyboard.press("End")
    assert readout.inner_text().startswith("predicted probability 0.9333 to 1: CNN 0.7 (13.3 % of the pixels)")
    assert "that fit" not in readout.inner_text()
    labels = section(opened, "calibration").locator("[data-reliability] .legend label")
    assert labels.count() == len(MODELS) - 1  # the diagonal cannot be switched off


def test_pointer_and_arrow_keys_move_over_the_bins(opened):
    plane = section(opened, "prior").locator("svg")
    readout = section(opened, "prior").locator("[data-readout]")
    plane.focus()
    opened.keyboard.press("ArrowRight")
    assert readout.inner_text() == "a 10, b 0: prior 1 %, class weight 2.5"
    choose(opened, "prior", "Size of a square", "1")
    assert readout.inner_text() == "a 10, b 0: prior 1 %, class weight 2.5"
    assert plane.locator(".current").count() == 1
    plane.focus()
    opened.keyboard.press("ArrowLeft")
    assert readout.inner_text() == "a 0, b 0: prior 92 %, class weight 0.5"
    box = plane.locator(".bin").first.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert readout.inner_text() == "a -10, b -10: prior 1 %, class weight 2.5"


def test_the_scale_of_the_bins_names_the_smallest_and_the_largest_value(opened):
    plane = section(opened, "prior").locator("svg")
    assert plane.locator(".sample + text").all_text_contents() == ["1 %", "9.6 %", "92 %"]


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
    choose(opened.page, "gallery", "Model", "3")
    choose(opened.page, "gallery", "Decoding", "annealed_mean")  # of the other run, only the mode is on the page
    number = section(opened.page, "gallery").locator(".card strong").first
    assert number.inner_text() == "L2 0.1950"
    compare.select_option("prediction")
    assert number.inner_text() == "L2 0.4450"
    assert browser.axe_problems(opened.page) == []
    opened.check()
    opened.page.context.close()
