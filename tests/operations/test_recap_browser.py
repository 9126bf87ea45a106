"""The page in a real browser, at the widths of a desktop and of a phone.

It needs Debian's chromium (or another browser of that name) and the Python package playwright:
`make browser` installs both.
"""

import functools

import pytest

from tests.support import browser as browsers
from tests.support import recap_run
from tests.support.browser import DESKTOP, PHONE
from zebjax.operations.recap import html, page, read

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser():
    with browsers.opened() as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A run with everything, whose name is a script, and a metrics file alone."""
    folder = tmp_path_factory.mktemp("pages")
    recap_run.write_rows(folder / "bare" / "metrics.jsonl", recap_run.original_rows())
    runs = {"whole": recap_run.make(folder / "runs", HOSTILE), "bare": folder / "bare"}
    for name, run in runs.items():
        (folder / f"{name}.html").write_text(html.render(page.make(read.read(str(run)))))
    return folder


class Seen:
    """A page as it is shown in a window of some width."""

    def __init__(self, browser, file, width, scheme="light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.requests, self.dialogs, self.messages = [], [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", self._on_dialog)
        self.page.goto(file.as_uri())

    def _on_dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def look(browser, pages):
    """Look at a page; each combination is opened once."""
    opened = []

    @functools.cache
    def seen(name, width, scheme="light"):
        opened.append(Seen(browser, pages / f"{name}.html", width, scheme))
        return opened[-1]

    yield seen
    for each in opened:
        each.context.close()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["whole", "bare"])
def test_nothing_outside_is_asked_for_and_nothing_runs(look, pages, name, width):
    seen = look(name, width)
    assert seen.requests == [(pages / f"{name}.html").as_uri()]
    assert seen.dialogs == [] and seen.messages == []
    assert seen.page.locator("script").count() == 0
    assert seen.page.evaluate("document.styleSheets.length") == 1


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["whole", "bare"])
def test_the_page_is_not_scrolled_sideways(look, name, width):
    page = look(name, width).page
    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("scrollTo(1000, 0)")
    assert page.evaluate("scrollX") == 0
    outside = page.evaluate(
        """width => [...document.querySelectorAll("section > *, header > *")]
        .filter(one => { const box = one.getBoundingClientRect();
                         return box.left < 0 || box.right > width + 0.5; }).length""",
        width,
    )
    assert outside == 0


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_all_sections_are_shown_with_something_in_them(look, width):
    page = look("whole", width).page
    assert page.title() == page.locator("h1").inner_text() == f"{HOSTILE}: recap"
    titles = page.locator("section > h2").all_inner_texts()
    assert len(titles) == 12 and titles[0] == "Overview and lineage"
    heights = page.eval_on_selector_all("section", "all => all.map(one => one.offsetHeight)")
    assert min(heights) > 80 and sum(heights) > 4000
    assert page.locator("nav a").all_inner_texts() == titles


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_charts_are_drawn_and_their_texts_can_be_read(look, width):
    page = look("whole", width).page
    boxes = page.eval_on_selector_all(
        ".chart svg", "all => all.map(one => one.getBoundingClientRect().toJSON())"
    )
    assert len(boxes) >= 7
    assert all(300 < box["width"] < 620 and box["height"] > 80 for box in boxes)
    # The size on the screen: texts of an SVG scale with it.
    heights = page.eval_on_selector_all(
        ".chart svg text", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 60 and min(heights) > 8
    drawn = page.eval_on_selector_all(
        ".chart svg", "all => all.map(one => one.querySelectorAll('path').length)"
    )
    assert min(drawn) > 5
    assert page.locator('.chart [role="img"][aria-label]').count() == len(boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_not_blank_and_its_ink_differs_from_its_paper(look, scheme):
    page = look("whole", DESKTOP, scheme).page

    def brightness(selector, name):
        code = f"one => getComputedStyle(one).{name}.match(/\\d+/g).slice(0, 3).map(Number)"
        return sum(page.eval_on_selector(selector, code)) / 3

    paper = brightness("body", "backgroundColor")
    assert (paper > 200) == (scheme == "light")
    for selector, name in (
        ("body", "color"),
        (".rule", "color"),
        ("h1", "color"),
        (".chart svg text", "fill"),
        (".chart svg path[style*='--line1']", "stroke"),
    ):
        assert abs(brightness(selector, name) - paper) > 90, selector
    picture = page.screenshot(full_page=True)
    assert len(picture) > 200_000  # a blank page of this size has some thousand bytes
