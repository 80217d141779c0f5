"""What a person does with the page, in a real browser without a network: pointer, keyboard, paste, drop, telephone."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.export.page.conftest import Visit, encoded, picture, unzipped
from tests.helpers import browser

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
HUGE = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + (20_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0" + bytes(40)
TIMES = "\N{MULTIPLICATION SIGN}"
HOSTILE = '"><img src=x onerror=alert(1)>.png'

TRANSFER = """([kind, files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: 'image/png' }));
  }
  const pasted = () => new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true });
  const dropped = () => new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(kind === 'paste' ? pasted() : dropped());
}"""


@pytest.mark.parametrize(("width", "scheme"), [(400, browser.LIGHT), (1400, browser.DARK)])
def test_the_page_is_accessible_and_fits_before_and_after_a_photo(chromium, page_file, width, scheme):
    visit = Visit(chromium, page_file, width=width, scheme=scheme)
    assert browser.axe_problems(visit.page) == []
    visit.choose({"a.png": encoded(picture(60, 90)), "b.png": encoded(picture(90, 60)), "c.txt": b"no photo"})
    visit.status("2 photos are here.")
    visit.page.locator("#sure").check()
    visit.page.locator("details summary").click()
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.axe_problems(visit.page) == []
    visit.close()


def test_the_policy_stops_requests_and_foreign_scripts(same_visit):
    assert same_visit.page.evaluate("fetch('data:,x').then(() => 'sent', () => 'stopped')") == "stopped"
    assert same_visit.page.evaluate("""() => {
      const script = document.createElement('script');
      script.textContent = 'window.isForeign = true';
      document.body.append(script);
      return window.isForeign === undefined;
    }""")
    assert all("Content Security Policy" in problem for problem in same_visit.opened.problems)
    same_visit.opened.problems.clear()


def test_everything_works_with_the_keyboard_alone(visit):
    press, choosers = visit.page.keyboard.press, []
    visit.page.on("filechooser", lambda chooser: choosers.append(chooser))
    focused = lambda: visit.page.evaluate("document.activeElement.id")  # noqa: E731
    press("Tab")
    press("Enter")  # the link that skips the introduction
    press("Tab")
    assert focused() == "choose"
    press("Enter")
    while not choosers:
        visit.page.wait_for_timeout(20)
    choosers[0].set_files([{"name": "a.png", "mimeType": "image/png", "buffer": encoded(picture(60, 90))}])
    visit.status("a.png is colored.")
    before = visit.pixels()
    press("Tab")
    assert focused() == "edge"
    press("Home")
    assert visit.page.locator("#edge").get_attribute("aria-valuetext") == "0 % of your photo, 100 % of the result"
    press("Tab")
    assert focused() == "strength"
    press("End")
    visit.wait_for_drawing("strength", 2)
    press("Tab")
    assert focused() == "temperature"
    press("Home")
    visit.wait_for_drawing("temperature", 0)
    assert visit.page.locator("output").all_inner_texts() == ["200 %", "0.00"]
    press("Tab")
    assert focused() == "restore"
    press("Space")
    visit.wait_for_drawing("temperature", 0.38)
    assert (visit.pixels() == before).all()
    press("Tab")
    assert focused() == "save-jpeg"
    with visit.page.expect_download() as waiting:
        press("Enter")
    assert waiting.value.suggested_filename == "a-color.jpg"
    press("Tab")
    press("Tab")
    assert focused() == "sure"
    press("Space")
    assert visit.page.locator("#scale").is_visible()


def test_photos_can_be_pasted_and_dropped(same_visit):
    for kind, width in (("paste", 50), ("drop", 60)):
        photo = base64.b64encode(encoded(picture(40, width))).decode()
        same_visit.page.evaluate(TRANSFER, [kind, [[f"{kind}.png", photo]]])
        same_visit.status(f"{kind}.png is colored.")
        assert same_visit.page.locator("#size").inner_text() == f"{width} {TIMES} 40 pixels"


def test_the_slider_compares_the_photo_with_the_result(same_visit):
    photo = picture(60, 90)
    same_visit.color(encoded(photo))
    assert (same_visit.pixels("before") == photo).all()
    assert not (same_visit.pixels("after") == photo).all()
    box = same_visit.page.locator("#edge").bounding_box()
    same_visit.page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 5)
    share = float(same_visit.page.locator("#edge").input_value())
    assert 20 <= share <= 30
    assert (
        same_visit.page.locator("#after").evaluate("(canvas) => canvas.style.clipPath")
        == f"inset(0px 0px 0px {share:g}%)"
    )


def test_the_entropy_map_says_how_sure_the_model_is(same_visit):
    same_visit.color(encoded(picture(60, 90)))
    colors = same_visit.pixels()
    same_visit.page.locator("#hesitates", has_text="the model hesitates between about ").wait_for()
    assert not same_visit.page.locator("#scale").is_visible()
    same_visit.page.locator("#sure").check()
    same_visit.wait_for_drawing("view", "entropy")
    assert same_visit.page.locator("#scale").is_visible()
    assert same_visit.page.locator(".ticks span").all_inner_texts() == ["1", "3", "10", "30", "100", "313"]
    assert not (same_visit.pixels() == colors).all()
    same_visit.page.locator("#sure").uncheck()
    same_visit.wait_for_drawing("view", "colors")
    assert (same_visit.pixels() == colors).all()


def test_several_photos_are_colored_with_the_settings_and_saved_as_one_zip_file(visit):
    photos = {name: encoded(picture(40, 50 + n, seed=n)) for n, name in enumerate(["a.png", "b.jpg", "B.PNG"])}
    visit.choose(photos)
    visit.status("3 photos are here.")
    assert visit.page.locator("#batch-title").inner_text() == "All 3 photos"
    visit.set("strength", 40)
    expected = visit.picture()
    visit.page.locator("#photos button", has_text="b.jpg").click()
    visit.status("b.jpg is colored.")
    assert visit.page.locator("#photos [aria-pressed=true]").inner_text() == "b.jpg"
    visit.page.locator("#batch-type").select_option("image/png")
    name, content = visit.download("save-all")
    found = {name: np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for name, file in unzipped(content).items()}
    assert name == "colored-photos.zip" and [*found] == ["a-color.png", "b-color.png", "B-color-2.png"]
    assert [one.shape[1] for one in found.values()] == [50, 51, 52]
    assert (found["a-color.png"] == expected).all()
    visit.status("3 of 3 photos are saved in colored-photos.zip.")
    assert not visit.page.locator("#progress").is_visible()


def test_a_batch_can_be_stopped(visit):
    visit.choose({f"{n}.png": encoded(picture(700, 900, seed=n)) for n in range(3)})
    visit.status("3 photos are here.")
    visit.page.locator("#save-all").click()
    assert visit.page.locator("#progress").is_visible()
    visit.page.locator("#stop").click()
    visit.status("Stopped. Nothing was saved.")
    assert visit.page.locator("#save-all").is_enabled()


UNUSABLE = [
    ("a.heic", HEIC, "this browser cannot read HEIC photos. Save the photo as JPEG"),
    ("a.jpg", b"only text", "this is not a photo."),
    ("a.jpg", b"", "this file is empty."),
    ("a.png", HUGE, f"20000 {TIMES} 20000 pixels are too many; the limit is 50 megapixels."),
    ("a.png", encoded(picture(15, 40)), f"40 {TIMES} 15 pixels are too few; each side needs at least 16."),
    ("a.png", encoded(picture(60, 90))[:60], "this browser cannot read this photo. It may be damaged"),
    (HOSTILE, b"text", "this is not a photo."),
]


def test_a_file_that_cannot_be_colored_is_named_with_the_reason(visit):
    for n, (name, content, reason) in enumerate(UNUSABLE):
        visit.choose({name: content, f"good{n}.png": encoded(picture(40, 50))})
        visit.page.locator("#name", has_text=f"good{n}.png").wait_for()
        visit.status("photos are here." if n else "One photo is here.")
        (line,) = visit.page.locator("#problems li").all_inner_texts()
        assert line.startswith(f"{name}: {reason}")
    assert visit.page.locator("img").count() == 0


def test_a_browser_that_is_too_old_is_told_so(chromium, page_file):
    context = chromium.new_context()
    context.add_init_script("delete window.DecompressionStream")
    opened = context.new_page()
    opened.goto(page_file.resolve().as_uri())
    assert "too old for this page: it has no decompression" in opened.locator("#failure").inner_text()
    assert opened.locator("#choose").is_disabled()
    context.close()
