"""Players: golden moves, the spec grammar, distributions, and independence of hidden hands."""

import dataclasses
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import game, network, observe, players
from zebjax.common import files
from zebjax.players import base, neural
from zebjax.players.spec import KINDS, PlayerKind
from zebjax.players.takeover import takeover
from zebjax.search import SearchConfig

SMALL = network.PRESETS["small"]
policy_logits = jax.jit(lambda params, seen: network.apply(SMALL, params, seen).policy_logits)
observe_all = jax.jit(jax.vmap(observe.observe))
legal_slots = jax.jit(jax.vmap(game.legal_slots))


@pytest.fixture(scope="module")
def params():
    """Drawn here and not by `network.init`, which takes seconds to compile; larger, so that it has
    opinions."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape), jnp.float32),
        network.abstract_params(SMALL),
    )


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory, params):
    path = tmp_path_factory.mktemp("players") / "net"
    with files.new_folder(path) as folder:
        network.save(folder, SMALL, params)
    return path


@pytest.fixture(scope="module")
def states():
    return positions(150, np.arange(150) % 28)


@pytest.fixture(scope="module")
def legal(states):
    return np.asarray(legal_slots(states))


@pytest.fixture(scope="module")
def logits(params, states):
    return np.asarray(policy_logits(params, observe_all(states)))


SEARCHES = pytest.mark.parametrize(
    "search", ["gumbel", pytest.param("puct", marks=pytest.mark.slow)]
)


def every_kind(checkpoint_path, search):
    """One spec of each kind that may not look, and a searching one; a kind that takes an argument
    must be added."""
    toy = Path(__file__).parents[1] / "support" / "toy_player.py"
    arguments = {"zeb": f":{checkpoint_path},temperature=0.5", "eq": ":n=3", "br": ":n=40"}
    arguments["ext"] = f":{sys.executable} {toy}"
    kinds = [kind + arguments.get(kind, "") for kind in KINDS if kind != "cheat"]
    of_small = "eq:n=3,belief=small,candidates=15,rollouts=small"
    more = [of_small, f"{of_small},adaptive=2,opening=small", "small:temperature=0.1"]
    searching = f"zeb:{checkpoint_path},temperature=0.5,sims=3,worlds=4,search={search}"
    return [*kinds, *more, searching]


def test_heuristic_equals_the_reference(reference):
    rules, tokens = reference("rules.npz"), reference("tokens.npz")
    rows = tokens["game"]
    deals = (jnp.asarray(rules[name][rows]) for name in ("hands", "decl", "leader", "actions"))
    states = jax.jit(jax.vmap(game.replay))(*deals, jnp.asarray(tokens["ply"]))
    slots = players.make("heuristic").choose(jax.tree.map(np.asarray, states), raw_keys(len(rows)))
    np.testing.assert_array_equal(slots, tokens["heuristic_action"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("heuristc", "player 'heuristc': unknown kind 'heuristc'; did you mean 'heuristic'\\?"),
        ("Zeb:x", "did you mean 'zeb'"),
        ("", "player '': expected one of random, heuristic, zeb, small, eq, br, ext, cheat"),
        ("random:x", "player 'random:x': expected 'random' and nothing more, got 'x'"),
        ("zeb", r"expected zeb:PATH\[,temperature=0.1\]"),
        ("zeb:", r"expected zeb:PATH\[,temperature=0.1\]"),
        ("zeb:x,temprature=1", "unknown key 'temprature'; did you mean 'temperature'"),
        ("zeb:x,0.5", "expected key=value as in zeb:PATH.*, got '0.5'"),
        ("zeb:x,temperature=hot", "temperature: expected a number from 0 to 100, got 'hot'"),
        ("zeb:x,temperature=-1", "temperature: expected a number from 0 to 100, got '-1'"),
        ("zeb:x,temperature=nan", "temperature: expected a number from 0 to 100, got 'nan'"),
        ("zeb:x,temperature=1,temperature=2", "temperature is given twice"),
        ("zeb:x,sims=0", "sims: expected a whole number from 1 to 100000, got '0'"),
        (
            "zeb:x,sims=8,search=gumble",
            "search: expected gumbel or puct, got 'gumble'; did you mean 'gumbel'",
        ),
        ("zeb:x,worlds=4", "worlds: expected sims with it, as in sims=64"),
        ("small:temprature=1", "unknown key 'temprature'; did you mean 'temperature'"),
        ("br:n=5,x=1", "unknown key 'x'; expected n$"),
        ("br:n=0", "n: expected a whole number from 1 to 100000, got '0'"),
        ("zeb:x,world=4", "unknown key 'world'; did you mean 'worlds'"),
        ("zeb:/no/such/place", "player 'zeb:/no/such/place': /no/such/place: no network here"),
    ],
)
def test_a_bad_spec_is_answered_in_one_sentence(spec, message):
    with pytest.raises(ValueError, match=message) as error:
        players.make(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a,b", "a,b=1,c", "x,temperature=0.5", ",", "a, b"])
def test_a_path_may_have_commas_in_it(params, tmp_path, name):
    with files.new_folder(tmp_path / name) as folder:
        network.save(folder, SMALL, params)
    for options in ("", ",temperature=0", ",temperature=0.5,sims=3,worlds=4"):
        spec = f"zeb:{tmp_path / name}{options}"
        player = players.make(spec)
        assert player.spec == spec
        assert ("sims" in options) == ("SearchConfig" in player.identity)
        if options == ",temperature=0":
            assert "temperature=0.0" in player.identity
    with pytest.raises(ValueError, match="unknown key 'temprature'; did you mean 'temperature'"):
        players.make(f"zeb:{tmp_path / name},temprature=1")


def test_a_step_of_a_run_is_named_by_its_number(params, tmp_path):
    with files.new_folder(tmp_path / "a,b" / "checkpoints" / "step_000000008") as folder:
        network.save(folder, SMALL, params)
    player = players.make(f"zeb:{tmp_path / 'a,b'}@8,temperature=0")
    assert "temperature=0.0" in player.identity


def test_options_are_options_where_the_shorter_path_is_there(params, tmp_path):
    for name, factor in (("x", 1), ("x,temperature=0", 2)):
        with files.new_folder(tmp_path / name) as folder:
            network.save(folder, SMALL, jax.tree.map(lambda leaf, f=factor: leaf * f, params))
    short, option = (players.make(f"zeb:{tmp_path / 'x'}{end}") for end in ("", ",temperature=0"))
    assert short.identity.split(",")[0] == option.identity.split(",")[0]
    assert "temperature=0.1" in short.identity and "temperature=0.0" in option.identity


def test_a_loaded_network_plays_as_the_one_in_memory(
    checkpoint_path, params, states, legal, logits
):
    keys = raw_keys(150)
    default = players.make(f"zeb:{checkpoint_path}")
    assert default.spec == f"zeb:{checkpoint_path}"
    np.testing.assert_array_equal(
        default.choose(states, keys), players.zeb(SMALL, params).choose(states, keys)
    )
    greedy = players.make(f"zeb:{checkpoint_path},temperature=0")
    best = np.where(legal, logits, -np.inf).argmax(-1)
    np.testing.assert_array_equal(greedy.choose(states, keys), best)
    np.testing.assert_array_equal(greedy.choose(states, raw_keys(150, seed=2)), best)


def test_the_identity_is_what_decides_the_play(checkpoint_path, params, tmp_path):
    def saved(name, params, config=SMALL):
        with files.new_folder(tmp_path / name) as folder:
            network.save(folder, config, params)
        return players.make(f"zeb:{tmp_path / name}").identity

    known = players.make(f"zeb:{checkpoint_path}").identity
    assert known.startswith("zeb:sha256=") and str(checkpoint_path) not in known
    assert (
        saved("copy", params)
        == known
        == players.make(f"zeb:{checkpoint_path},temperature=0.10").identity
    )
    others = {
        saved("other", jax.tree.map(lambda leaf: leaf * 1.001, params)),
        players.make(f"zeb:{checkpoint_path},temperature=0.2").identity,
    }
    assert len(others | {known}) == 3
    assert players.make("heuristic").identity == "heuristic"
    assert (
        players.zeb(SMALL, params).identity == ""
    )  # a network in memory may go on learning: nothing is known


def test_a_kind_with_an_argument_and_no_identity_is_not_known(monkeypatch):
    monkeypatch.setitem(
        KINDS, "file", PlayerKind("tests.support.a_player:of_file", "file:PATH", "", True)
    )
    assert players.make("file:x").identity == "" and players.make("file:x").spec == "file:x"


def test_slots_follow_the_policy_at_its_temperature(params, states, legal, logits):
    n, row = 8_000, 4  # a leader with six tiles
    logits, legal = logits[row], legal[row]
    assert legal.sum() == 6
    many = base.gather(states, np.full(n, row))
    for player, weights in (
        (players.zeb(SMALL, params, temperature=0.7), np.exp(logits / 0.7)),
        (players.random(), np.ones(7)),
    ):
        expected = np.where(legal, weights, 0) / np.where(legal, weights, 0).sum()
        frequency = np.bincount(player.choose(many, raw_keys(n)), minlength=7) / n
        np.testing.assert_allclose(frequency, expected, atol=4 * 0.5 / np.sqrt(n))
        assert (frequency[~legal] == 0).all()
    assert expected[legal].std() == 0 and np.exp(logits / 0.7)[legal].std() > 0.1  # the two differ


@SEARCHES
def test_every_player_is_legal_and_blind_to_hidden_tiles(checkpoint_path, states, legal, search):
    """The same key and other hidden hands, consistent or not with the plays: the same slots."""
    rng = np.random.default_rng(0)
    hands = states.hands.copy()
    hidden = np.asarray(jax.jit(jax.vmap(observe.hidden_tiles))(states))
    for row in range(len(hands)):
        places = hidden[row][hands[row]]
        hands[row][places] = rng.permutation(hands[row][places])
    assert (hands != states.hands).any(axis=(1, 2)).mean() > 0.8
    keys = raw_keys(150)
    for spec in every_kind(checkpoint_path, search):
        player = players.make(spec)
        slots = player.choose(states, keys)
        assert slots.shape == (150,) and legal[np.arange(150), slots].all(), spec
        np.testing.assert_array_equal(
            player.choose(states._replace(hands=hands), keys), slots, err_msg=spec
        )


@SEARCHES
def test_a_game_is_played_the_same_in_any_batch(checkpoint_path, states, search):
    """Chunks, padding (a game alone of a network has none) and the tokens cut off for early plies
    never show in the slots.
    """
    keys = raw_keys(150)
    for spec in every_kind(checkpoint_path, search):
        player = players.make(spec)
        slots = player.choose(states, keys)
        # A search of one game is a program of its own, which compiles for a minute: puct, which is
        # slow, has it; of one evaluation it is here.
        is_long = "sims=" in spec and search == "gumbel"
        for rows in (
            np.array([5, 6] if is_long else [5]),
            np.arange(base.CHUNK),
            np.arange(149, 84, -1),
            np.flatnonzero(states.ply < 8),
        ):
            np.testing.assert_array_equal(
                player.choose(base.gather(states, rows), keys[rows]), slots[rows]
            )
        assert player.choose(base.gather(states, np.arange(0)), keys[:0]).shape == (0,)


def test_cutting_padding_tokens_is_exact(params, states, logits):
    rows = np.flatnonzero(states.ply < 8)
    early = base.gather(states, rows)
    seen = observe_all(early)
    length = observe.tokenizer("v1").lengths[1]
    assert seen.mask.sum(1).max() == length
    cut = policy_logits(params, observe.shorten(seen, length))
    legal = np.asarray(jax.vmap(game.legal_slots)(early))
    np.testing.assert_allclose(cut[legal], logits[rows][legal], atol=2e-5)


def test_new_parameters_and_other_counts_compile_nothing_but_one_program_for_one_game(
    params, states, compilations
):
    """A game alone is not padded, see `neural._share`; a match asks about it as two."""
    keys = raw_keys(150)
    player = players.zeb(SMALL, params)
    for last_ply in (7, 15, 23, 27):
        rows = np.flatnonzero(states.ply <= last_ply)
        player.choose(base.gather(states, rows), keys[rows])
    before = player.choose(states, keys)
    other = jax.tree.map(lambda leaf: leaf * 1.5, params)
    learned = players.zeb(SMALL, other, temperature=0.3)
    compilations.clear()
    after = learned.choose(states, keys)
    for n in (2, 64, 99):
        learned.choose(base.gather(states, np.arange(n)), keys[:n])
    assert compilations == []
    assert (before != after).any()
    # A config of its own, since another test may have compiled that of one game.
    config = dataclasses.replace(SMALL, dropout=0.123)
    one = base.gather(states, np.arange(1)), keys[:1]
    slots = players.zeb(config, params).choose(*one)
    assert len(compilations) == 1
    players.zeb(config, other, temperature=0.3).choose(*one)
    assert len(compilations) == 1
    np.testing.assert_array_equal(slots, before[:1])


def test_the_players_of_networks_that_pad_games_say_so(params):
    def search(worlds):
        return neural.searching_zeb(SMALL, params, SearchConfig("gumbel", 2, worlds=worlds))

    padding = players.zeb(SMALL, params), search(16)
    assert all(player.pads_one for player in padding)
    # With so many trees the programs for one game and for more are the same.
    others = search(base.ACCELERATOR_CHUNK), players.make("random"), players.make("eq:n=5")
    assert not any(player.pads_one for player in others)
    assert takeover(others[1], padding[0], 3).pads_one


def test_trees_that_no_memory_holds_are_refused(checkpoint_path):
    with pytest.raises(
        ValueError,
        match="sims: expected at most 1,000,000 in all worlds together, got 1,000,000,000",
    ):
        players.make(f"zeb:{checkpoint_path},sims=100000,worlds=10000")
