"""The scaling benchmark resumes, reports what is kept, and refuses wrong calls."""

import json

import jax
import numpy as np
import pytest

from benchmarks import report, scaling
from tests.support.small import net_of_seed
from zebjax import players
from zebjax.evaluation import matches
from zebjax.small import storage
from zebjax.training import labelled_games, small_descent, small_fit


def refused(capsys, *words):
    """The sentence with which a call is refused."""
    try:
        status = report.run("scaling", lambda: scaling.main(words))
    except SystemExit as ended:
        status = ended.code
    problem = capsys.readouterr().err
    assert status == 2 and problem.count("\n") == 1
    return problem


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--games 5", "--games: expected a whole number from 10"),
        ("--hidden 32 30", "--hidden: expected a multiple of 4, got '30'"),
        ("--width 0", "--width: expected a whole number from 4 to 4096"),
        ("--deals 1", "--deals: expected a whole number from 2"),
        ("--against nobody", "player 'nobody': unknown kind"),
        ("--against eq:n=10,criterion=make", "it plays only games with a contract"),
        ("--by nowhere", "nowhere: cannot be read"),
        ("--by small --read .", "--read: not allowed with --by"),
        ("--read nowhere", "nowhere: expected 204,000 labelled games, found 0"),
        ("--plot nowhere/x.png", "--plot: the folder 'nowhere' does not exist"),
    ],
)
def test_wrong_calls_are_one_sentence_and_leave_nothing(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words.split())
    assert list(tmp_path.iterdir()) == []


def test_all_numbers_of_games_have_one_width_and_the_largest_has_all():
    words = "--games 400 100 200 100 --hidden 32 128 8 --width 16"
    args = scaling.parser().parse_args(words.split())
    expected = [(100, 16), (200, 16), (400, 16), (400, 8), (400, 32), (400, 128)]
    assert scaling.cases(args) == expected
    by_default = scaling.cases(scaling.parser().parse_args([]))
    assert by_default[-3:] == [(200_000, 128), (200_000, 32), (200_000, 256)]
    assert len(by_default) == 7 and scaling.widths_of(32).hidden == 32


def test_a_match_resumes_and_a_smaller_one_is_its_beginning(tmp_path):
    file = tmp_path / "net.safetensors"
    storage.save(file, net_of_seed(1), {})
    first = scaling.play(tmp_path, file, "random", 2, 3)
    more = scaling.play(tmp_path, file, "random", 6, 3)
    (kept,) = tmp_path.glob("*.json")
    before = kept.read_bytes()
    again = scaling.play(tmp_path, file, "random", 4, 3)
    assert kept.read_bytes() == before
    pair = players.make(f"small:{file}"), players.make("random")
    expected = matches.play_pairs(*pair, 6, jax.random.key(3)).tolist()
    assert more["margins"] == expected
    assert first["margins"] == expected[:2] and again["margins"] == expected[:4]
    row = scaling.played(file, "random", again)
    assert row["deals"] == 4 and row["us_per_decision"] > 0
    assert row["win_rate"] == matches.pair_scores(np.array(expected[:4])).mean()


ROWS = [
    {"games": n, "hidden": hidden, "win_rate": rate, "win_rate_ci95": [rate - 0.1, rate + 0.1]}
    | {"parameters": 1000 * hidden, "us_per_decision": hidden, "value_error": 1 / n}
    for n, hidden, rate in ((100, 8, 0.2), (200, 8, 0.3), (400, 8, 0.4), (400, 16, 1.0))
]


@pytest.mark.parametrize("n_rows", [1, 3, 4])
def test_rows_are_drawn_with_and_without_a_curve(n_rows, tmp_path):
    result = {"rows": ROWS[:n_rows], "width": 8, "against": "random", "curve": None}
    scores = np.array([[row["win_rate"]] * 5 for row in scaling.of_width(result)])
    result["curve"] = scaling.curve_of(result, scores)
    assert (result["curve"] is None) == (n_rows == 1)
    scaling.plot(tmp_path / "plot.png", result, scores)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


# ---- with real games and fits


WORDS = "--games 40 80 160 --held-out 30 --per-file 50 --width 8 --hidden 4 --deals 3"


def called(folder, *more):
    """Run the command; return the rows without times, and what the folder `keep` holds."""
    words = ["--against", "random", "--keep", f"{folder}/keep", "--out", f"{folder}/out.json"]
    scaling.main([*WORDS.split(), *words, *more])
    result = json.loads((folder / "out.json").read_text())
    times = ("fit_cpu_s", "us_per_decision")
    rows = [{name: row[name] for name in row if name not in times} for row in result["rows"]]
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "keep").rglob("*.*s*")}
    return result, rows, kept


def games_of(files):
    return labelled_games.join([labelled_games.read(file) for file in sorted(files)])


@pytest.mark.slow  # most of it is compiling two large kernels
def test_the_command_resumes_and_reports_what_is_kept(tmp_path, capsys):
    result, rows, kept = called(tmp_path, "--plot", f"{tmp_path}/plot.png")
    said = capsys.readouterr()
    assert "fit to 160 games, 4 wide: 100 %  of the updates" in said.err
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert [(row["games"], row["hidden"]) for row in rows] == [(40, 8), (80, 8), (160, 8), (160, 4)]
    assert result["held_out"] == 30 and result["games_from"]["by"] == "small"

    # Each row describes the network in its file, on the games that were held out.
    games = games_of((tmp_path / "keep").glob("games-*/*"))
    assert len(games.leader) == 190
    held_out, rest = games.where(np.arange(30)), games.where(np.arange(30, 70))
    for row in rows:
        file = tmp_path / "keep" / row["network"]
        net = storage.load(file)
        assert row["bytes"] == file.stat().st_size
        assert row["parameters"] == sum(field.size for field in net)
        errors = [row[name] for name in row if name.endswith(("_error", "_log_loss"))]
        np.testing.assert_allclose(errors, small_fit.judge(net, held_out, 1), atol=1e-6)
    # The first network is fitted to the next 40 games.
    params = small_descent.init(scaling.widths_of(8), 0)
    small_fit.fit(params, rest, scaling.FIT, (0, 1), 1)
    for ours, theirs in zip(
        small_descent.net_of(params),
        storage.load(tmp_path / "keep" / rows[0]["network"]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.astype(np.float16), theirs)

    # The same call makes nothing, and after a loss only what was lost.
    assert called(tmp_path)[1:] == (rows, kept)
    lost = {min(name for name in kept if name.startswith("rollouts-")), rows[1]["network"]}
    for name in lost:
        (found,) = (tmp_path / "keep").rglob(name)
        found.unlink()
    _, again, after = called(tmp_path)
    assert again == rows
    assert {name for name in kept if after[name] != kept[name]} == lost

    # More deals begin with the same ones; files of games in any folder can be read.
    _, longer, _ = called(tmp_path, "--deals", "5")
    assert [row["network"] for row in longer] == [row["network"] for row in rows]
    assert {row["deals"] for row in longer} == {5}
    (folder,) = (tmp_path / "keep").glob("games-*")
    read, same, _ = called(tmp_path, "--read", str(folder))
    assert same == rows and read["games_from"] == {"read": str(folder)}
