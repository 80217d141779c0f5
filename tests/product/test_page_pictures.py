"""The pictures and failures of the page in a real browser: by pointer and by keyboard, whatever the names are."""

import numpy as np
import pytest

from colorize.report import page
from colorize.report.evidence import gather
from tests.helpers import browser
from tests.report.conftest import SIZE, Outputs

HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
RIGHT_TO_LEFT = "\u202e" + "long " * 60
MODELS = ["regression", "cnn", "unet"]
IMAGES = 10  # saved evenly spaced images


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests of this file."""
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page whose picture n is predicted as gray level 20 n, and 20 n + 5 if the model is not trained on objects."""
    run = Outputs(tmp_path_factory.mktemp("run"), ["objects", "scenes"], MODELS, [0])
    run.write_titles(f"objects: '{HOSTILE}'\nscenes: '{RIGHT_TO_LEFT}'\n")
    names = np.array([f"archive/{n}{HOSTILE}" if n % 2 else f"{n} {RIGHT_TO_LEFT}" for n in range(run.images)])
    levels = 20 * np.arange(run.images, dtype=np.uint8)[:, None, None, None]
    for source in run.datasets:
        predicted = np.broadcast_to(levels + 5 * (source == "scenes"), (run.images, SIZE, SIZE, 3))
        for target in run.datasets:
            for model in run.models:
                run.write_predictions(source, model, target, source=names, predicted=predicted)
    run.write_metrics("objects", "unet", "objects", l2=0.25)
    run.write_decoding("objects", "cnn", "objects", "annealed_mean", l2=0.125)
    file = tmp_path_factory.mktemp("page") / "report.html"
    evidence = gather(run.inputs)
    file.write_text(page.assemble([page.gallery.build(evidence), page.failures.build(evidence)], HOSTILE))
    return file


@pytest.fixture
def opened(chromium, path):
    """The page, freshly opened; in the end, nothing may have gone wrong."""
    found = browser.open_page(chromium, path)
    yield found.page
    found.check()
    found.page.context.close()


def choose(opened, label: str, value: str, section: str = "gallery") -> None:
    opened.locator(f"#{section}").get_by_role("combobox", name=label, exact=True).select_option(value)


def cards(opened):
    return opened.locator("#gallery .card")


def keys(opened) -> list[int]:
    return [int(text.split()[1]) for text in opened.locator("#gallery .card .key").all_text_contents()]


def expect_level(opened, canvas, level: int) -> None:
    """Wait until the canvas shows this gray level; lossy pictures may differ a little."""
    handle = canvas.element_handle()
    pixel = "canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data"
    opened.wait_for_function(f"canvas => {pixel}[3] === 255", arg=handle)
    found = canvas.evaluate(f"canvas => [...{pixel}].slice(0, 3)")
    assert max(abs(value - level) for value in found) <= 4, (found, level)


def test_only_the_pictures_of_the_first_view_are_decoded(opened):
    assert opened.evaluate("page.sprites.size") == 5  # inputs and predictions; the same and the truth of the failures
    choose(opened, "Compare", "truth")
    assert opened.evaluate("page.sprites.size") == 6


def test_a_card_shows_the_two_chosen_pictures_of_its_image(opened):
    second = cards(opened).nth(2).locator("canvas")
    expect_level(opened, second.nth(1), 40)
    choose(opened, "Trained on", "1")
    expect_level(opened, cards(opened).nth(2).locator("canvas").nth(1), 45)
    choose(opened, "Compare", "truth")
    expect_level(opened, cards(opened).nth(2).locator("canvas").nth(0), 45)
    assert "true colors on the right" in cards(opened).nth(2).get_by_role("slider").get_attribute("aria-label")


def test_the_slider_follows_the_keyboard_and_the_pointer(opened):
    slider = cards(opened).first.get_by_role("slider")
    over = cards(opened).first.locator("canvas").nth(1)
    slider.focus()
    opened.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % of the left picture"
    assert over.evaluate("canvas => canvas.style.clipPath") == "inset(0px 0px 0px 0%)"
    box = slider.bounding_box()
    opened.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert 65 <= int(slider.input_value()) <= 85
    assert over.evaluate("canvas => canvas.style.clipPath") == f"inset(0px 0px 0px {slider.input_value()}%)"


def test_images_can_be_sorted_from_the_best_and_from_the_worst(opened):
    first = opened.locator("#gallery").get_by_role("combobox", name="First", exact=True)
    assert keys(opened) == [10 * n for n in range(IMAGES)] and not first.is_visible()
    choose(opened, "Sort by", "l2")
    assert first.locator("option").all_text_contents() == ["worst", "best"]
    assert keys(opened) == [10 * n for n in reversed(range(IMAGES))]
    choose(opened, "First", "low")
    assert keys(opened) == [10 * n for n in range(IMAGES)]
    choose(opened, "Sort by", "accuracy")
    assert first.locator("option").all_text_contents() == ["best", "worst"]
    choose(opened, "Sort by", "entropy")
    assert first.locator("option").all_text_contents() == ["highest", "lowest"]
    assert "colors" in cards(opened).first.locator("strong").inner_text()
    assert keys(opened) != [10 * n for n in range(IMAGES)]


def test_the_numbers_are_those_of_the_decoding(opened):
    assert cards(opened).first.locator("strong").inner_text() == "L2 0.4450"
    choose(opened, "Decoding", "annealed_mean")
    assert cards(opened).first.locator("strong").inner_text() == "L2 0.0700"
    expect_level(opened, cards(opened).nth(4).locator("canvas").nth(1), 10)  # the made-up annealed means are dark
    choose(opened, "Sort by", "accuracy")  # does not depend on the decoding
    assert cards(opened).first.locator("strong").inner_text() == "Accuracy 0.1600"


def test_a_regression_says_that_it_has_no_entropy_map(opened):
    note, scale = opened.locator("#gallery [data-note]"), opened.locator("#gallery > .scale")
    assert not scale.is_visible()
    choose(opened, "Compare", "entropy")
    assert scale.is_visible() and "313" in scale.inner_text() and note.inner_text() == ""
    choose(opened, "Model", "0")
    assert "no entropy map" in note.inner_text() and not scale.is_visible()
    expect_level(opened, cards(opened).nth(3).locator("canvas").nth(1), 60)  # the prediction instead
    choose(opened, "Sort by", "cross_entropy")
    assert "does not have this measure" in note.inner_text()


def test_the_large_view_shows_all_models_and_moves_with_the_keyboard(opened):
    choose(opened, "Sort by", "l2")
    button = opened.locator("#gallery").get_by_role("button", name="Enlarge image 80")
    button.focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("#gallery").get_by_role("dialog")
    assert dialog.locator(".large canvas").count() == 2 + 2 * (1 + 2 + 2)  # classifiers have an entropy map
    assert dialog.locator("h3").inner_text() == f"Image 80 of {HOSTILE}"
    assert dialog.get_by_text("(lowest)").all_inner_texts() == ["L2 0.2750 (lowest)"]
    expect_level(opened, dialog.get_by_role("img", name="prediction of CNN").nth(1), 165)
    dialog.get_by_role("button", name="Previous").focus()
    opened.keyboard.press("Enter")
    assert "Image 90" in dialog.locator("h3").inner_text()
    assert dialog.get_by_role("button", name="Previous").is_disabled()
    assert dialog.locator("h3").evaluate("heading => heading === document.activeElement")  # not lost
    assert f"archive/9{HOSTILE}" in dialog.locator(".note").inner_text()
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("button => button === document.activeElement")


def test_the_large_view_closes_with_a_click(opened):
    cards(opened).last.get_by_role("button").click()
    dialog = opened.locator("#gallery").get_by_role("dialog")
    assert dialog.get_by_role("button", name="Next").is_disabled()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(400, browser.DARK), (1400, browser.LIGHT)])
def test_the_entropy_view_and_the_large_view_are_accessible_and_fit(chromium, path, width, scheme):
    found = browser.open_page(chromium, path, width=width, scheme=scheme)
    choose(found.page, "Compare", "entropy")
    cards(found.page).nth(1).get_by_role("button").click()
    dialog = found.page.locator("#gallery").get_by_role("dialog")
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.axe_problems(found.page) == []
    assert found.page.locator("img").count() == 0
    found.check()
    found.page.context.close()


def test_failures_are_those_of_the_chosen_model_and_data_set(opened):
    runs = opened.locator("#failures [data-run]")
    assert [runs.nth(n).is_visible() for n in (0, 1, 10)] == [True, False, False]
    opened.locator("#failures").get_by_role("combobox", name="Model", exact=True).focus()
    opened.keyboard.press("ArrowDown")
    assert runs.nth(1).is_visible() and not runs.nth(0).is_visible()
    choose(opened, "Test images of", "1", "failures")
    choose(opened, "Trained on", "1", "failures")
    shown = runs.nth(10)  # CNN, trained and tested on the second data set
    assert shown.is_visible() and runs.nth(1).is_hidden()
    assert "CNN, trained on" in shown.locator("h3").inner_text()
    card = shown.locator(".card", has_text="key 110 ").first  # has the largest L2
    assert card.locator("canvas").count() == 3
    expect_level(opened, card.locator("canvas").nth(1), 225)
    assert f"11{HOSTILE}" in card.locator(".name").text_content()
