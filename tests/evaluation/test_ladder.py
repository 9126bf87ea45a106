"""Round robin and ladder: only pairs that are new or changed are played; the command's output."""

import dataclasses
import json
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

from zebjax import arena, network, players
from zebjax.common import charts, files
from zebjax.evaluation import ladder, matches, tables
from zebjax.players import spec

TINY = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, belief_head=False)
RANDOM, HEURISTIC = players.make("random"), players.make("heuristic")
RULES = ladder.Rules()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made_up_margins(a, b, key, first, n_deals, on_ply=None):
    """Instead of play, which is tested elsewhere: even numbers that depend on players, seed and
    deal, and turn around with the players."""
    if b.identity < a.identity:
        return -made_up_margins(b, a, key, first, n_deals)[:, ::-1]
    who = zlib.crc32(f"{a.identity} {b.identity} {jax.random.key_data(key)}".encode())
    return np.array(
        [
            np.random.default_rng([who, deal]).integers(-21, 22, 2) * 2
            for deal in range(first, first + n_deals)
        ]
    )


@pytest.fixture(autouse=True)
def played(monkeypatch):
    """A list of the pairs that are played and not taken from the cache, by spec."""
    pairs, play_pairs = [], matches.play_pairs

    def spy(a, b, *arguments):
        pairs.append((a.spec, b.spec))
        return play_pairs(a, b, *arguments)

    monkeypatch.setattr(matches, "play_deals", made_up_margins)
    monkeypatch.setattr(matches, "play_pairs", spy)
    return pairs


@pytest.fixture
def cache(tmp_path):
    notes = []
    made = ladder.Cache(tmp_path / "cache", notes.append)
    made.notes = notes
    return made


def save_network(path, seed):
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32),
        network.abstract_params(TINY),
    )
    with files.new_folder(path, replace=True) as folder:
        network.save(folder, TINY, params)


def same(one, other):
    return (
        one.result == other.result
        and (one.margins == other.margins).all()
        and one.seconds == other.seconds
    )


def test_a_kept_pair_is_not_played_again_in_either_order(played, cache):
    first = ladder.play(HEURISTIC, RANDOM, 21, RULES, cache)
    again = ladder.play(HEURISTIC, RANDOM, 21, RULES, cache)
    assert (
        played == [("heuristic", "random")]
        and again.cached
        and not first.cached
        and same(first, again)
    )
    turned = ladder.play(RANDOM, HEURISTIC, 21, RULES, cache)
    assert len(played) == 1 and turned.result.a == "random"
    assert turned.result == ladder.play(RANDOM, HEURISTIC, 21, RULES, ladder.Cache(None)).result
    assert len(played) == 2  # without a cache it was played


def test_whatever_decides_the_result_decides_what_is_found(played, cache, monkeypatch):
    ladder.play(HEURISTIC, RANDOM, 21, RULES, cache)
    for n_deals, rules in ((22, RULES), (21, ladder.Rules(seed=1)), (21, ladder.Rules(until=0.3))):
        assert not ladder.play(HEURISTIC, RANDOM, n_deals, rules, cache).cached
        assert ladder.play(HEURISTIC, RANDOM, n_deals, rules, cache).cached
    assert ladder.play(HEURISTIC, RANDOM, 21, ladder.Rules(batch=7), cache).cached  # the same games
    monkeypatch.setattr(matches, "VERSION", matches.VERSION + 1)
    assert not ladder.play(HEURISTIC, RANDOM, 21, RULES, cache).cached
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not ladder.play(HEURISTIC, RANDOM, 21, RULES, cache).cached
    monkeypatch.setattr(ladder, "__version__", "none")
    assert not ladder.play(HEURISTIC, RANDOM, 21, RULES, cache).cached
    nobody = dataclasses.replace(RANDOM, identity="")
    assert not any(ladder.play(HEURISTIC, nobody, 21, RULES, cache).cached for _ in range(2))


def test_a_changed_checkpoint_is_played_again(played, cache, tmp_path):
    spec = f"zeb:{tmp_path / 'net'}"
    save_network(tmp_path / "net", 0)
    first = ladder.play(players.make(spec), RANDOM, 21, RULES, cache)
    assert ladder.play(players.make(spec), RANDOM, 21, RULES, cache).cached
    save_network(tmp_path / "net", 1)
    second = ladder.play(players.make(spec), RANDOM, 21, RULES, cache)
    assert not second.cached and (second.margins != first.margins).any()
    # The first again, elsewhere and under another name: its games are known.
    save_network(tmp_path / "moved", 0)
    moved = ladder.play(players.make(f"zeb:{tmp_path / 'moved'}"), RANDOM, 21, RULES, cache)
    assert (
        moved.cached and moved.result.a.endswith("moved") and (moved.margins == first.margins).all()
    )


def test_a_damaged_file_is_played_again_with_one_note(played, cache):
    ladder.play(HEURISTIC, RANDOM, 21, RULES, cache)
    (path,) = cache.folder.iterdir()
    whole = path.read_text()
    record = json.loads(whole)
    margins = record["margins"]
    damages = [
        whole[: len(whole) // 2],
        "[]",
        "{}",
        "\x00",
        *(
            json.dumps({**record, **change})
            for change in (
                {"key": {}},
                {"seconds": "long"},
                {"margins": margins[:-1]},
                {"margins": [[99, 0], *margins[1:]]},
                {"margins": [[1]]},
                {"margins": [[1, 2], [3]]},
                {"margins": [-margins[0][0] + 2, margins[1:]]},
                {
                    "margins": [
                        [margin + 2 if margin < 40 else 40 for margin in pair] for pair in margins
                    ]
                },
                {"win_rate": 0.9},
            )
        ),
    ]
    for text in damages:
        path.write_text(text)
        cache.notes.clear()
        pair = ladder.play(HEURISTIC, RANDOM, 21, RULES, cache)
        assert not pair.cached and len(cache.notes) == 1, text[:80]
        assert str(path) in cache.notes[0] and cache.notes[0].endswith("playing this pair again")
        assert json.loads(path.read_text())["margins"] == margins  # mended
    path.write_bytes(b"\xff\xfe")
    assert not ladder.play(HEURISTIC, RANDOM, 21, RULES, cache).cached
    path.unlink()
    path.mkdir()
    assert (
        not ladder.play(HEURISTIC, RANDOM, 21, RULES, cache).cached
        and "cannot be written" in cache.notes[-1]
    )


def test_a_new_player_plays_only_its_own_pairs_and_a_kill_loses_one(played, cache, tmp_path):
    save_network(tmp_path / "net", 0)
    zeb = players.make(f"zeb:{tmp_path / 'net'}")
    plan = (lambda a, b: 21, RULES, cache)
    before = ladder.round_robin([RANDOM, HEURISTIC], *plan)
    played.clear()
    calls = []

    def killed(*arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments)
        return ladder.play(*arguments)

    with pytest.raises(KeyboardInterrupt):
        ladder.round_robin([RANDOM, HEURISTIC, zeb], *plan, play_pair=killed)
    assert played == [("random", zeb.spec)]
    after = ladder.round_robin([RANDOM, HEURISTIC, zeb], *plan)
    assert played == [("random", zeb.spec), ("heuristic", zeb.spec)]
    assert [pair.cached for pair in after.pairs] == [True, True, False]
    assert after.pairs[0].result == before.pairs[0].result and after.n_games == (84, 84, 84)


def test_the_anchor_and_the_mean(cache):
    plan = ([RANDOM, HEURISTIC], lambda a, b: 21, RULES, cache)
    anchored = ladder.round_robin(*plan, anchor=("random", 1000.0))
    assert anchored.ratings[0].elo == 1000 and anchored.ratings[0].stderr == 0
    rate = anchored.pairs[0].result.win_rate
    assert anchored.ratings[1].elo == pytest.approx(1000 + 400 * np.log10((1 - rate) / rate))
    assert sum(rating.elo for rating in ladder.round_robin(*plan).ratings) == pytest.approx(3000)
    with pytest.raises(ValueError, match="anchor: 'x' is none of the players random, heuristic"):
        ladder.round_robin(*plan, anchor=("x", 1000.0))


def test_how_many_deals_a_ladder_pair_plays():
    for a, b, deals in (
        ("random", "heuristic", 2000),
        ("eq:n=10", "zeb:eq:n=100", 2000),
        ("eq:n=49,criterion=win", "cheat", 2000),
        ("random", "eq:n=50", 500),
        ("eq:criterion=win,n=100", "random", 500),
        ("eq", "random", 500),
    ):
        assert ladder.ladder_deals(a, b) == deals
    assert ladder.ladder_deals("random", "eq:n=100", 40) == 10


@pytest.fixture
def stand_ins(monkeypatch):
    """Players of the ladder's kinds that cost nothing."""

    for name in ("eq", "cheat"):
        kind = spec.PlayerKind("tests.support.a_player:of_worlds", name, "", options={"n": int})
        monkeypatch.setitem(spec.KINDS, name, kind)


def test_the_ladder_of_the_command(stand_ins, played, capsys):
    assert (
        arena.main(["--ladder", "eq:n=2", "--deals", "12", "--json", "--plot", "ladder.png"]) == 0
    )
    output = capsys.readouterr()
    told = json.loads(output.out)
    assert [
        row["player"] for row in told["ratings"] if row["elo"] == 1600 and row["stderr"] == 0
    ] == ["eq:n=100"]
    assert {row["player"] for row in told["ratings"]} == {*ladder.LADDER, "eq:n=2"}
    assert [row["elo"] for row in told["ratings"]] == sorted(
        (row["elo"] for row in told["ratings"]), reverse=True
    )
    slow = {match["n_deals"] for match in told["matches"] if "eq:n=50" in (match["a"], match["b"])}
    assert len(told["matches"]) == len(played) == 28 and slow == {3}
    assert sum(row["games"] for row in told["ratings"]) == 4 * sum(
        match["n_deals"] for match in told["matches"]
    )
    assert Path("ladder.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    # Again as tables: nothing is played.
    assert arena.main(["--ladder", "eq:n=2", "--deals", "12", "--anchor", "random=1000"]) == 0
    output = capsys.readouterr()
    assert (
        len(played) == 28
        and "1/28 random vs heuristic" in output.err
        and "from the cache" in output.err
    )
    for words in (
        "Elo",
        "95 % interval",
        "games",
        "fixed",
        "Bradley-Terry",
        "random is fixed at 1000",
        "±",
    ):
        assert words in output.out


def test_the_matrix_of_the_command(played, capsys):
    for flag in ("--matrix", "--round-robin"):
        assert arena.main([flag, "random", "heuristic", "--deals", "21"]) == 0
        out = capsys.readouterr().out
        assert (
            "the mean of all players is 1500" in out and "wins of the row against the column" in out
        )
    assert (
        arena.main(["random", "heuristic", "--deals", "21", "--matrix", "--no-cache", "--json"])
        == 0
    )
    assert len(played) == 2 and json.loads(capsys.readouterr().out)["anchor"] is None


def test_a_match_of_the_command_that_stops_by_itself(played, capsys):
    arguments = [
        "heuristic",
        "vs",
        "random",
        "--until",
        "0.2",
        "--batch",
        "40",
        "--plot",
        "match.png",
    ]
    assert arena.main(arguments) == 0
    out = capsys.readouterr().out
    for words in ("confidence sequence", "known to +-20 %", "yes", "empirical Bernstein"):
        assert words in out
    assert Path("match.png").read_bytes()[:4] == b"\x89PNG"
    assert arena.main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cached"] and told["until"] == 0.2 and told["n_deals"] < 200 and len(played) == 1
    assert np.diff(told["win_rate_cs95"]) <= 0.4
    assert arena.main([*arguments[:-2], "--deals", "20"]) == 0
    assert "no: out of deals" in capsys.readouterr().out


def test_a_picture_that_cannot_be_written_is_refused_before_the_match(capsys, tmp_path):
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(SystemExit) as stop:
        arena.main(["heuristic", "vs", "random", "--deals", "21", "--plot", "dir.png"])
    output = capsys.readouterr()
    assert stop.value.code == 2 and not output.out
    assert "zebjax arena: --plot: expected the name of a file, 'dir.png' is a folder" in output.err


@pytest.mark.parametrize("name", ["heuristic", "a-player-with-a-very-long-name"])
def test_a_picture_names_players_of_long_names_by_number(name, cache, monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "save_figure", lambda figure, path: drawn.append(figure))
    contenders = [RANDOM, dataclasses.replace(HEURISTIC, spec=name)]
    standings = ladder.round_robin(contenders, lambda *_: 8, RULES, cache)
    results = [pair.result for pair in standings.pairs]
    tables.plot(Path("a.png"), results, standings, "")
    ratings, wins, _ = (
        [label.get_text() for label in axes.get_yticklabels()] for axes in drawn[0].axes
    )
    players_of = dict(label.split("   ") for label in ratings) if name != "heuristic" else {}
    short = [players_of.get(player, player) for player in ("random", name)]
    assert wins in ([f"{short[0]} vs {short[1]}"], [f"{short[1]} vs {short[0]}"])
    assert sorted(players_of.values()) == ([] if name == "heuristic" else ["1", "2"])
    tables.plot(Path("b.png"), results, None, "")
    assert name in drawn[1].axes[0].get_yticklabels()[0].get_text()
