"""The exported page: its rules and its network against ours in node, and a hand in a browser."""

import contextlib
import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import browser as browsers
from tests.support import in_node, playouts
from tests.support.browser import DESKTOP, PHONE
from zebjax import export, game, network, observe, worlds
from zebjax.table import export as pages
from zebjax.table import state, views

TINY = network.ZebConfig(embed_dim=32, n_heads=2, n_layers=2, ff_dim=48)


def ask_node(states, net=None, marginals=False):
    """What the page's scripts say of each of these states."""
    positions = [in_node.position_of(states, row) for row in range(len(states.ply))]
    asked = {"games": in_node.games_of(states), "network": net, "marginals": marginals}
    return positions, in_node.run("rules_and_network.js", asked)


def test_the_rules_of_the_page_are_those_of_the_game_in_a_thousand_games():
    states = playouts.positions(1000, range(29))
    positions, said = ask_node(states)
    legal = np.asarray(jax.jit(jax.vmap(game.legal_slots))(states))
    movers = np.asarray(jax.jit(jax.vmap(game.current_player))(states))
    over = 0
    for row, (here, found) in enumerate(zip(positions, said, strict=True)):
        assert found["points"] == np.asarray(states.points)[row].tolist()
        assert found["movers"] == list(here.movers)
        hand = np.asarray(states.hands)[row, movers[row]]
        is_over = len(here.plays) == game.N_PLIES
        over += is_over
        assert found["legal"] == ([] if is_over else hand[legal[row]].tolist())
        assert found["mover"] == (None if is_over else movers[row])
    assert over > 30


def test_the_view_of_the_page_is_the_view_of_the_server():
    states = playouts.positions(29, range(29), seed=4)
    positions, said = ask_node(states)
    for here, found in zip(positions, said, strict=True):
        table = state.Table(1, 0, here)
        ours = views.view(table) | {"players": ["a", "b", "c", "d"], "seed": None}
        assert found["view"] == json.loads(json.dumps(ours))


# It compiles a network and the counting of worlds. In the fast suite the rules that they read are
# compared, and a wrong network would play legally.
@pytest.mark.slow
def test_the_network_of_the_page_and_its_counting_are_ours():
    states = playouts.positions(56, range(28), seed=6)
    config = dataclasses.replace(TINY, belief_prior="marginal")
    params = network.init(config, jax.random.key(3))
    # Other than 0, as after training.
    params = jax.tree.map(
        lambda leaf: leaf + 0.05 * jnp.sin(jnp.arange(leaf.size)).reshape(leaf.shape), params
    )
    net = pages.network_data("tiny", config, params)
    positions, said = ask_node(states, net, marginals=True)
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float16).astype("f4"), params)
    ours = network.apply(config, rounded, jax.vmap(observe.observe)(states))
    exact = np.asarray(jax.jit(jax.vmap(worlds.marginals))(states))
    beliefs = jax.nn.softmax(network.corrected_beliefs(config, ours.belief_logits, exact))
    n_worlds = np.asarray(jax.jit(jax.vmap(worlds.count))(states))
    for row, (here, found) in enumerate(zip(positions, said, strict=True)):
        mover = here.hands[here.mover]
        left = [slot for slot, tile in enumerate(mover) if tile not in here.plays]
        theirs = found["output"]["policy"]
        assert [slot for slot, logit in enumerate(theirs) if logit is not None] == left
        expected = np.asarray(ours.policy_logits[row])[left]
        np.testing.assert_allclose([theirs[slot] for slot in left], expected, atol=2e-4)
        assert found["output"]["value"] == pytest.approx(float(ours.value[row]), abs=2e-4)
        belief = np.asarray(jax.nn.softmax(ours.belief_logits[row]))
        np.testing.assert_allclose(found["output"]["belief"], belief, atol=2e-4)
        np.testing.assert_allclose(found["beliefs"], beliefs[row], atol=2e-4)
        counted = found["marginals"]
        assert counted["total"] == n_worlds[row]
        assert counted["hidden"] == list(here.seen_by(here.mover).hidden)
        shares = np.reshape(counted["shares"], (-1, 3))  # also where nothing is hidden
        np.testing.assert_allclose(shares, exact[row, counted["hidden"]], atol=1e-5)


def test_a_network_that_the_page_cannot_hold_is_refused():
    params = network.init(TINY, jax.random.key(0))
    params["policy"]["bias"] = jnp.full_like(params["policy"]["bias"], 1e6)
    with pytest.raises(ValueError, match=r"^array policy\.bias: expected numbers of at most 65504"):
        pages.network_data("tiny", TINY, params)
    narrow = dataclasses.replace(TINY, n_heads=16)
    with pytest.raises(ValueError, match=r"^n_heads: expected a multiple of 4 columns a head"):
        pages.network_data("narrow", narrow, params)


def test_the_page_is_one_file_that_names_nothing_outside(tmp_path, capsys):
    page = pages.page("</script><b>", TINY, network.init(TINY, jax.random.key(0)))
    assert page.count("<script") == 3 and "</script><b>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "/static/" not in page
    for words, said in (
        (["no/such/net", "--html", str(tmp_path / "a.html")], "no/such/net"),
        (["bundled", "--html", str(tmp_path / "none" / "a.html")], "does not exist"),
    ):
        try:
            status = export.main(words)
        except SystemExit as stop:
            status = stop.code
        err = capsys.readouterr().err
        assert status == 2 and said in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The bundled network's page on disk."""
    file = tmp_path_factory.mktemp("page") / "page.html"
    assert export.main(["bundled", "--html", str(file)]) == 0
    assert file.stat().st_size < 3_400_000
    return file


@contextlib.contextmanager
def opened(file, width):
    """The page before the first deal; nothing may go wrong on it or be asked for elsewhere."""
    with browsers.opened() as browser:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, has_touch=width == PHONE
        )
        context.set_default_timeout(browsers.PATIENCE_MS)
        page = context.new_page()
        wrong, asked = [], []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("#setup:not([hidden])")
        page.evaluate("zebjax.page.paceMs = 0")
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert wrong == [] and set(asked) == {file.as_uri()}
        context.close()


def settle(page):
    page.wait_for_selector("body:not(.busy)")


def tap(page, name):
    page.locator(name).first.tap()
    settle(page)


def press_button(page, name):
    page.locator(name).first.click()
    settle(page)


def reload(page):
    page.reload()
    page.wait_for_selector("#setup:not([hidden]), #table:not([hidden])")
    page.evaluate("zebjax.page.paceMs = 0")
    settle(page)


def press(page, key):
    page.keyboard.press(key)
    settle(page)


LEGAL = '#hand button[aria-disabled="false"]'


# Its page is that of the server, which is played in `test_page_browser`; its rules are compared
# above.
@pytest.mark.slow
def test_a_hand_against_the_exported_page_from_disk(exported):
    with opened(exported, PHONE) as page:
        page.select_option("#with-bids", "no")
        assert "more of the 42 points" in page.locator("#about").inner_text()
        tap(page, "#setup button")
        for button, title in (("#hint", "Hint"), ("#beliefs", "Beliefs")):
            tap(page, button)
            assert page.locator("#panel h2").inner_text() == title
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        while page.locator(LEGAL).count():
            tap(page, LEGAL)
        assert " to " in page.locator("#message").inner_text()
        assert page.locator("#tricks li").count() == 7


# `test_export_small` compares bids, contracts and chances in node.
@pytest.mark.slow
def test_a_hand_with_a_bid_by_touch_on_a_phone(exported):
    with opened(exported, PHONE) as page:
        assert "7 marks" in page.locator("#about").inner_text()
        tap(page, "#setup button")
        assert "Your bid" in page.locator("#message").inner_text()
        tap(page, "#hint")
        assert page.locator("#panel tbody tr").count() == 9
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        tap(page, '#bids button:has-text("2 marks")')
        assert page.locator("#bids button").count() == 9
        tap(page, '#bids button:has-text("follow me")')
        assert "2 marks by you, follow me" in page.locator("#score").inner_text()
        tap(page, "#hint")
        assert page.locator("#panel thead th").nth(1).inner_text() == "you make"
        assert page.locator(".badge").count() == page.locator(LEGAL).count() == 7
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        tap(page, LEGAL)
        while page.locator(LEGAL).count():
            tap(page, LEGAL)
        said = page.locator("#message").inner_text()
        assert "You bid 2 marks and took" in said and "2 marks for" in said
        tap(page, "#next")
        assert "hand 2" in page.locator("#score").inner_text()


def test_a_reload_keeps_the_game_and_leaving_it_does_not(exported):
    with opened(exported, DESKTOP) as page:
        page.select_option("#with-bids", "no")
        press_button(page, "#setup button")
        for _ in range(2):
            press_button(page, LEGAL)
        shown = page.evaluate("zebjax.page.view")
        assert shown["ply"] >= 5
        reload(page)
        assert page.evaluate("zebjax.page.view") == shown
        press(page, "u")  # what may be taken back is kept, too
        assert page.evaluate("zebjax.page.view.ply") < shown["ply"]
        press_button(page, "#leave")
        reload(page)
        assert page.locator("#setup").is_visible()


@pytest.mark.slow
def test_a_hand_with_a_bid_by_keys_on_a_desktop(exported):
    with opened(exported, DESKTOP) as page:
        page.locator("#setup button").focus()
        press(page, "Enter")
        press(page, "h")
        assert page.locator("#panel tbody tr").count() == 9
        page.locator("#bids button").last.focus()
        press(page, "Enter")  # 2 marks, which no other player bids or raises
        assert page.evaluate("document.activeElement.textContent") == "blanks"
        press(page, "Enter")
        assert "2 marks by you, trumps: blanks" in page.locator("#score").inner_text()
        while page.locator(LEGAL).count():
            press(page, str(int(page.locator(LEGAL).first.get_attribute("data-slot")) + 1))
        assert "You bid 2 marks and took" in page.locator("#message").inner_text()
        press(page, "n")
        assert "hand 2" in page.locator("#score").inner_text()
