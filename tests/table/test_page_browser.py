"""The page of `zebjax serve` in a real browser, on a desktop and on a phone.

A whole hand is played by keys on the desktop and by touch on the phone. See `tests/support/browser`
for what it needs.
"""

import contextlib
import itertools
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import uvicorn

from tests.support import browser as browsers
from tests.support.browser import DESKTOP, PHONE
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import SpecialBidder
from zebjax.table import advice, bots
from zebjax.table.host import Host
from zebjax.table.web import app, guard

SCRIPT = "<script>alert(1)</script>"
MIN_TARGET = 44


@pytest.fixture(scope="module")
def browser():
    with browsers.opened() as made:
        yield made


@pytest.fixture(scope="module")
def address():
    """A server; the name of one player is a script."""
    loaded = bots.load(["random", "heuristic"])
    with serving(
        Host({**loaded, SCRIPT: loaded["random"]}, advice.believer("bundled"), worlds=2)
    ) as made:
        yield made


@contextlib.contextmanager
def serving(host):
    """The address of a server in a thread."""
    count = itertools.count(21)
    served = app.make(app.Server(host, lambda: next(count)), {"127.0.0.1"}, guard.Rates(1e9, 1e9))
    config = uvicorn.Config(served, port=0, ws="none", log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def opened(browser, address, width, scheme="light"):
    """The page before the first deal, and what went wrong on it."""
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, has_touch=width == PHONE
    )
    context.set_default_timeout(browsers.PATIENCE_MS)
    page = context.new_page()
    page.requests, page.wrong = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.wrong.append(message.text))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("dialog", lambda dialog: (page.wrong.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    page.wait_for_selector("#setup:not([hidden])")
    # Other players' tiles are shown at once.
    page.evaluate("zebjax.page.paceMs = 0")
    yield page
    assert page.wrong == [] and page.locator("#problem").inner_text() == ""
    assert all(url.startswith(address) for url in page.requests)
    context.close()


def settle(page):
    page.wait_for_selector("body:not(.busy)")


def legal(page):
    return page.locator('#hand button[aria-disabled="false"]')


def by_key(page, name):
    page.locator(name).focus()
    page.keyboard.press("Enter")
    settle(page)


def by_touch(page, name):
    page.locator(name).first.tap()
    settle(page)


def is_not_scrolled_sideways(page, width):
    return page.evaluate("document.documentElement.scrollWidth") == width


def small_targets(page):
    """What can be pressed and is smaller than a finger."""
    boxes = page.eval_on_selector_all(
        "button, select, summary",
        "all => all.map(one => [one.id || one.className, one.offsetWidth, one.offsetHeight])",
    )
    return [box for box in boxes if box[1] and box[2] and not (box[1] >= MIN_TARGET <= box[2])]


# A hand by touch covers the page and its requests; this one the keys.
@pytest.mark.slow
def test_a_hand_by_keys_on_a_desktop(browser, address):
    with opened(browser, address, DESKTOP) as page:
        page.select_option("#left", label=SCRIPT)
        by_key(page, "#setup button")
        assert SCRIPT in page.locator(".left .player").inner_text()
        assert page.locator("#hand button").count() == 7
        assert page.evaluate("document.activeElement.dataset.slot") is not None
        page.keyboard.press("b")
        settle(page)
        assert "exact counting" in page.locator("#panel caption").inner_text()
        assert "bundled" in page.locator("#panel caption").inner_text()
        while legal(page).count():
            page.keyboard.press(str(int(legal(page).first.get_attribute("data-slot")) + 1))
            settle(page)
        message = page.locator("#message").inner_text()
        assert " to " in message and page.locator("#tricks li").count() == 7
        page.keyboard.press("r")
        settle(page)
        assert page.locator("#panel tbody tr").count() >= 5
        assert page.locator("#panel .row").count() == 4
        by_key(page, "#text")
        assert "declaration" in page.locator("#panel pre").inner_text()
        page.keyboard.press("n")
        settle(page)
        assert "hand 2" in page.locator("#score").inner_text()
        page.reload()
        page.wait_for_selector("#table:not([hidden])")
        assert "hand 2" in page.locator("#score").inner_text()


def test_a_hand_by_touch_on_a_phone(browser, address):
    with opened(browser, address, PHONE) as page:
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, "#setup button")
        while page.locator("#hand .played").count() < 3:
            by_touch(page, '#hand button[aria-disabled="false"]')
        by_touch(page, "#undo")
        assert page.locator("#hand .played").count() == 2
        by_touch(page, "#beliefs")
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        for key, said in (("r", "This hand is not over."), ("p", "There are no bids.")):
            page.keyboard.press(key)
            assert page.locator("#problem").inner_text() == said
        played = page.locator("#hand .played").first
        played.tap(force=True)  # it is no disabled button
        assert "You have played" in page.locator("#problem").inner_text()
        assert page.locator("#panel h2").inner_text() == "Beliefs"
        by_touch(page, '#hand button[aria-disabled="false"]')
        assert page.locator("#panel").inner_text() == ""  # it was of another moment
        assert page.locator("#problem").inner_text() == ""
        while legal(page).count() and page.locator("#hand .played").count() < 5:
            by_touch(page, '#hand button[aria-disabled="false"]')
        by_touch(page, "#hint")
        assert page.locator(".badge").count() == legal(page).count() > 0
        while legal(page).count():
            by_touch(page, '#hand button[aria-disabled="false"]')
        by_touch(page, "#review")
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, "#leave")
        assert page.locator("#setup").is_visible()
        by_touch(page, "#setup button")
        assert page.locator("#panel").inner_text() == ""


# test_server.py plays a hand with a bid by requests; this one shows that the page makes them.
@pytest.mark.slow
def test_a_hand_with_a_bid_by_touch_and_by_keys(browser):
    host = Host(bots.load(["heuristic"]), None, worlds=2, bidder=Bidder(0.5, worlds=1))
    with serving(host) as address, opened(browser, address, PHONE) as page:
        assert "heuristic plays for points" in page.locator("#notice").inner_text()
        assert "7 marks" in page.locator("#about").inner_text()
        by_touch(page, "#setup button")
        assert "Your bid" in page.locator("#bids").get_attribute("aria-label")
        assert "marks 0 : 0 of 7" in page.locator("#score").inner_text()
        assert page.locator("#message").inner_text().endswith("Your bid.")
        by_touch(page, "#hint")
        assert page.locator("#panel tbody tr").count() == 9
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, '#bids button:has-text("2 marks")')
        assert page.locator("#bids button").count() == 9
        assert "what is trump" in page.locator("#message").inner_text()
        assert page.evaluate("document.activeElement.textContent") == "blanks"
        by_touch(page, "#undo")
        assert page.locator("#message").inner_text().endswith("Your bid.")
        assert page.evaluate("document.activeElement.textContent") == "Pass"
        by_touch(page, '#bids button:has-text("2 marks")')
        by_key(page, '#bids button:has-text("sixes")')
        by_touch(page, "#undo")
        by_key(page, '#bids button:has-text("follow me")')
        assert page.locator("#bids").is_hidden()
        assert "2 marks by you, follow me" in page.locator("#score").inner_text()
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        while legal(page).count():
            by_touch(page, '#hand button[aria-disabled="false"]')
        said = page.locator("#message").inner_text()
        assert "You bid 2 marks and took" in said and "2 marks for" in said
        by_touch(page, "#review")
        assert said in page.locator("#panel").inner_text()
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, "#next")
        assert "hand 2" in page.locator("#score").inner_text()


# Colours and names do not change with the code of a table.
@pytest.mark.slow
def test_names_for_a_screen_reader_and_colours_in_the_dark(browser, address):
    with opened(browser, address, PHONE, "dark") as page:
        by_touch(page, "#setup button")
        names = page.locator("#hand button").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label'))"
        )
        assert len(names) == 7 and any("may be played" in name for name in names)
        assert page.locator("#message").get_attribute("aria-live") == "polite"
        unnamed = page.eval_on_selector_all(
            "button, select, svg",
            """all => all.filter(one => !(one.ariaLabel || one.getAttribute("aria-label")
                || one.getAttribute("aria-hidden") || one.textContent.trim()
                || (one.labels && one.labels.length))).length""",
        )
        assert unnamed == 0

        def brightness(name):
            code = f"one => getComputedStyle(one).{name}.match(/\\d+/g).slice(0, 3).map(Number)"
            return sum(page.eval_on_selector("body", code)) / 3

        assert brightness("backgroundColor") < 60 and brightness("color") > 180
        assert len(page.screenshot()) > 15_000  # a blank page has some thousand bytes


# test_server.py and test_terminal.py play such hands; this one shows that the page can.
@pytest.mark.slow
def test_a_hand_of_nello_by_touch(browser):
    options = ("nello", "plunge", "splash", "sevens")
    bidder = SpecialBidder(1.0, worlds=1)
    host = Host(bots.load(["heuristic"]), None, worlds=2, bidder=bidder, options=options)
    with serving(host) as address, opened(browser, address, PHONE) as page:
        assert page.locator("#special li").count() == 4
        assert "play by E[Q] of 100 worlds" in page.locator("#notice").inner_text()
        by_touch(page, "#setup button")
        by_touch(page, "#hint")
        assert "nello for 42: made in" in page.locator("#panel").inner_text()
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, '#bids button:has-text("2 marks")')
        assert page.locator("#bids button").count() == 11
        by_touch(page, '#bids button:has-text("nello")')
        score = page.locator("#score").inner_text()
        assert "2 marks by you, nello" in score and "must take none · tricks 0 : 0" in score
        assert "takes no part" in page.locator(".seat.partner").inner_text()
        by_touch(page, "#hint")
        assert page.locator("#panel th").all_inner_texts()[:3] == ["tile", "open hands", ""]
        by_touch(page, "#beliefs")
        assert page.locator("#panel tbody tr").count() == 21
        by_touch(page, '#hand button[aria-disabled="false"]')
        if legal(page).count():
            by_touch(page, "#undo")
            by_touch(page, '#hand button[aria-disabled="false"]')
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        while legal(page).count():
            by_touch(page, '#hand button[aria-disabled="false"]')
        said = page.locator("#message").inner_text()
        assert "in nello: " in said and "2 marks for" in said
        by_touch(page, "#review")
        assert said in page.locator("#panel").inner_text()
        assert is_not_scrolled_sideways(page, PHONE) and small_targets(page) == []
        by_touch(page, "#text")
        assert "declaration nello" in page.locator("#panel").inner_text()
        by_touch(page, "#next")
        assert "hand 2" in page.locator("#score").inner_text()
