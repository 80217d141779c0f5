"""What a person does with the page, in a real browser without a network.

Each test runs in a wide window with a mouse and in a narrow one with fingers.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.export.page.conftest import encoded, picture, unzipped
from tests.export.page.test_kept import exif_with_thumbnail
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


@pytest.mark.parametrize("scheme", [browser.LIGHT, browser.DARK])
def test_the_page_is_accessible_and_fits_before_and_after_a_photo(visit, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    assert browser.axe_problems(visit.page) == []
    visit.choose({"a.png": encoded(picture(60, 90)), f"{'b' * 99}.png": encoded(picture(90, 60)), "c.txt": b"no photo"})
    visit.status("2 photos are here.")
    visit.press("#sure")
    visit.press("summary")
    assert visit.page.evaluate("document.documentElement.scrollWidth") == visit.width
    assert browser.axe_problems(visit.page) == []
    visit.press("summary")
    visit.page.emulate_media(color_scheme=browser.LIGHT)


def test_the_policy_stops_requests_and_foreign_scripts(visit):
    assert visit.page.evaluate("fetch('data:,x').then(() => 'sent', () => 'stopped')") == "stopped"
    assert visit.page.evaluate("""() => {
      const script = document.createElement('script');
      script.textContent = 'window.isForeign = true';
      document.body.append(script);
      return window.isForeign === undefined;
    }""")
    assert all("Content Security Policy" in problem for problem in visit.opened.problems)
    visit.opened.problems.clear()


def test_everything_works_with_the_keyboard_alone(visit):
    visit.page.reload()  # so that the first Tab starts at the top
    visit.wait_until_ready()
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


def test_photos_can_be_chosen(visit):
    with visit.page.expect_file_chooser() as waiting:
        visit.press("#drop label")
    assert waiting.value.is_multiple()
    waiting.value.set_files([{"name": "a.png", "mimeType": "image/png", "buffer": encoded(picture(40, 50))}])
    visit.status("a.png is colored.")


def test_only_who_has_a_mouse_is_told_to_drop_photos(visit):
    assert visit.page.locator("#drop p").is_visible() == (not visit.is_phone)


def test_a_long_name_leaves_space_for_the_photo(visit):
    visit.choose({f"{'a long name ' * 15}.png": encoded(picture(40, 50))})
    visit.status("a long name a long name … long name .png is colored.")
    assert visit.page.locator("#status").bounding_box()["height"] < 80
    assert visit.page.locator("#name").inner_text() == f"{'a long name ' * 15}.png"


def test_photos_can_be_pasted_and_dropped(visit):
    for kind, width in (("paste", 50), ("drop", 60)):
        photo = base64.b64encode(encoded(picture(40, width))).decode()
        visit.page.evaluate(TRANSFER, [kind, [[f"{kind}.png", photo]]])
        visit.status(f"{kind}.png is colored.")
        assert visit.page.locator("#size").inner_text() == f"{width} {TIMES} 40 pixels"


def test_the_slider_compares_the_photo_with_the_result(visit):
    photo = picture(60, 90)
    visit.color(encoded(photo))
    assert (visit.pixels("before") == photo).all()
    assert not (visit.pixels("after") == photo).all()
    for start, end in [(0.5, 0.1), (0.1, 0.95)]:
        visit.drag("#slider", start, end)
        share = float(visit.page.locator("#edge").input_value())
        assert abs(share - 100 * end) <= 1  # the edge is below the pointer
        clip = visit.page.locator("#after").evaluate("(canvas) => canvas.style.clipPath")
        assert clip == f"inset(0px 0px 0px {share:g}%)"
    visit.page.locator("#edge").press("ArrowLeft")
    assert float(visit.page.locator("#edge").input_value()) == share - 1


def test_the_page_scrolls_with_the_pointer_on_the_picture(visit):
    visit.color(encoded(picture(90, 60)))
    box = visit.page.locator("#slider").bounding_box()
    if visit.is_phone:
        visit.swipe([(box["x"] + 50, box["y"] + 200 - 20 * n) for n in range(10)])
    else:
        visit.page.mouse.move(box["x"] + 50, box["y"] + 200)
        visit.page.mouse.wheel(0, 200)
    visit.wait_until("scrollY > 100")


def test_strength_and_temperature_follow_the_pointer(visit):
    visit.color(encoded(picture(60, 90)))
    before = visit.pixels()
    visit.drag("#strength", 0.5, 0)
    visit.wait_for_drawing("strength", 0)
    gray = visit.pixels()
    assert np.ptp(gray, axis=-1).max() <= 1 and (gray != before).any()
    visit.press("#restore")
    visit.wait_for_drawing("strength", 1)
    visit.drag("#temperature", 0.38, 1)
    visit.wait_for_drawing("temperature", 1)
    assert (visit.pixels() != before).any()


def test_the_entropy_map_says_how_sure_the_model_is(visit):
    visit.color(encoded(picture(60, 90)))
    colors = visit.pixels()
    visit.page.locator("#hesitates", has_text="the model hesitates between about ").wait_for()
    assert not visit.page.locator("#scale").is_visible()
    visit.press("#sure")
    visit.wait_for_drawing("view", "entropy")
    assert visit.page.locator("#scale").is_visible()
    assert visit.page.locator(".ticks span").all_inner_texts() == ["1", "3", "10", "30", "100", "313"]
    assert not (visit.pixels() == colors).all()
    visit.press("#sure")
    visit.wait_for_drawing("view", "colors")
    assert (visit.pixels() == colors).all()


def test_several_photos_are_colored_with_the_settings_and_saved_as_one_zip_file(visit):
    photos = {name: encoded(picture(40, 50 + n, seed=n)) for n, name in enumerate(["a.png", "b.jpg", "B.PNG"])}
    visit.choose(photos)
    visit.status("3 photos are here. One of them is shown; choose another one below.")
    assert visit.page.locator("#batch-title").inner_text() == "All 3 photos"
    visit.set("strength", 40)
    expected = visit.picture()
    visit.press("#photos li:nth-child(2) button")
    visit.status("b.jpg is colored.")
    assert visit.page.locator("#photos [aria-pressed=true]").inner_text() == "b.jpg"
    visit.page.locator("#batch-type").select_option("image/png")
    name, content = visit.download("save-all")
    found = {name: np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for name, file in unzipped(content).items()}
    assert name == "colored-photos.zip" and [*found] == ["a-color.png", "b-color.png", "B-color-2.png"]
    assert [one.shape[1] for one in found.values()] == [50, 51, 52]
    assert (found["a-color.png"] == expected).all()
    visit.status("3 of 3 photos are saved in colored-photos.zip.")
    assert visit.is_in_sight("#status")
    assert not visit.page.locator("#progress").is_visible()


def test_a_batch_can_be_stopped(visit):
    visit.choose({f"{n}.png": encoded(picture(40, 50)) for n in range(6)})
    visit.status("6 photos are here.")
    visit.page.evaluate("""() => {
      const post = worker.thread.postMessage.bind(worker.thread);
      worker.thread.postMessage = (request) => setTimeout(post, 300, request); // so that there is time to stop
    }""")
    visit.press("#save-all")
    assert visit.page.locator("#progress").is_visible()
    visit.press("#stop")
    visit.status("Stopped. Nothing was saved.")
    assert visit.page.locator("#save-all").is_enabled()


DAMAGED = encoded(picture(60, 90)).replace(b"IDAT", b"????")
CUT = "the end of this file is missing."
UNUSABLE = [
    ("a.heic", HEIC, "this browser cannot read HEIC photos. Save the photo as JPEG"),
    ("a.jpg", b"only text", "this is not a photo."),
    ("a.jpg", b"", "this file is empty."),
    ("a.png", HUGE, f"20000 {TIMES} 20000 pixels are too many; the limit is 50 megapixels."),
    ("a.png", encoded(picture(15, 40)), f"40 {TIMES} 15 pixels are too few; each side needs at least 16."),
    ("a.png", DAMAGED, "this browser cannot read this photo. It may be damaged"),
    ("a.png", encoded(picture(60, 90))[:-12], CUT),  # without its last chunk
    ("a.jpg", encoded(picture(60, 90), "JPEG")[:-2], CUT),
    ("a.jpg", encoded(picture(60, 90), "JPEG", exif=exif_with_thumbnail())[:-2], CUT),  # the thumbnail has its end
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


def test_a_browser_that_is_too_old_is_told_so(chromium, page_file, window):
    context = chromium.new_context(viewport={"width": window["width"], "height": 800})
    context.add_init_script("delete window.DecompressionStream")
    opened = context.new_page()
    opened.goto(page_file.resolve().as_uri())
    assert "too old for this page: it has no decompression" in opened.locator("#failure").inner_text()
    assert opened.locator("#choose").is_disabled()
    assert opened.evaluate("document.documentElement.scrollWidth") == window["width"]
    context.close()
