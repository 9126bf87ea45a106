"""`zebjax watch`, driven by keys in a terminal of 80 x 24 that does not exist."""

import asyncio
import importlib.util
import json

import pytest

pytest.importorskip("textual")

from textual.widgets import ContentSwitcher, DataTable, Sparkline, Static

from tests.support.store_made import PLAYER, made, whole
from zebjax import watch
from zebjax.operations import logs as log_files
from zebjax.operations.watching import following, series
from zebjax.operations.watching import target as targets
from zebjax.operations.watching.app import WatchApp


def drive(path, steps, notes=()):
    """Run `steps(app, pilot)` in the program that shows the run at `path`."""

    async def run():
        target = targets.open_target(str(path))
        follower = following.Follower(target, targets.first_poll(target), None)
        app = WatchApp(follower, every_s=3600, notes=notes)
        async with app.run_test(size=(80, 24)) as pilot:
            await steps(app, pilot)
        return app

    return asyncio.run(run())


def text(app, name):
    return str(app.query_one(name, Static).render())


def screen(app):
    """What the terminal shows, as lines."""
    return [
        "".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()
    ]


@pytest.fixture
def run(tmp_path):
    """A learner's folder with two rows and two logs, and its store."""
    path = tmp_path / "mine"
    (path / "fleet" / "logs").mkdir(parents=True)
    (path / "fleet" / "logs" / "learner.log").write_text("first\n\x1b[2Jlast of learner\n")
    (path / "fleet" / "logs" / "play-1.log").write_bytes(b"\xff[red]last of play-1\n")
    rows = [
        {
            "cycle": n,
            "stats/total_games": n,
            "train/value_loss": 1.0 - n / 10,
            "perf/games_per_s": n,
        }
        for n in (1, 2)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole(tmp_path / "store" / "mine")
    return path


def test_the_state_is_shown_and_renewed_and_q_quits(run):
    async def steps(app, pilot):
        for _ in range(100):  # the last line is laid out after the rest
            lines = screen(app)
            if "quit" in lines[-1]:
                break
            await pilot.pause(0.01)
        assert len(lines) == 24 and all(len(line) == 80 for line in lines)
        shown = "\n".join(lines)
        assert "big: all well" in shown and "1,400 of 2,000" in shown and "quit" in shown
        assert "NVIDIA RTX 4070 Ti" in str(
            [app.query_one(DataTable).get_row_at(n) for n in range(4)]
        )
        whole(run.parent / "store" / "mine", step=3741, step_age_s=900.0)
        await pilot.press("r")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "stands at step 3741" in text(app, "#verdict")
        assert app.query_one("#verdict").has_class("alarm")
        await pilot.press("q")

    assert drive(run, steps).return_code == 0


def test_charts_fit_and_logs_are_reached_by_keys(run):
    async def steps(app, pilot):
        await pilot.press("2")
        assert app.query_one(ContentSwitcher).current == "charts"
        shown = "\n".join(screen(app))
        for part in ("win rate against random, %: nothing yet", "value loss: 0.800", "games/s: 2"):
            assert part in shown
        assert [0.9, 0.8] in [list(line.data) for line in app.query(Sparkline)]
        await pilot.press("3")
        shown = "\n".join(screen(app))
        assert "learner (1 of 2" in shown and "last of learner" in shown and "\x1b" not in shown
        await pilot.press("n")
        assert "[red]last of play-1" in "\n".join(screen(app))
        await pilot.press("n", "1")
        assert "learner (1 of 2" in text(app, "#log")
        assert app.query_one(ContentSwitcher).current == "state"

    drive(run, steps)


def test_words_of_a_heartbeat_are_no_markup(tmp_path):
    odd = PLAYER | {"host": "[/red]", "phase": "[bold", "warning": "[on red]\x1b[31mhelp[/]"}
    made(tmp_path, {"step": 1, "experiment": "[@click=app.quit]x[/]", "waits_for": "[/]"}, a=odd)

    async def steps(app, pilot):
        shown = "\n".join(screen(app))
        assert "[@click=app.quit]x[/]" in shown and "\x1b" not in shown
        assert "[on red][31mhelp[/]" in shown

    drive(tmp_path, steps)


def test_a_poll_that_fails_is_shown_and_the_next_one_forgets_it(run):
    async def steps(app, pilot):
        def fail():
            raise ValueError("the line is [cut]")

        async def poll():
            await pilot.press("r")
            await app.workers.wait_for_complete()
            await pilot.pause()

        app._follower.target.poll = fail
        await poll()
        assert "the line is [cut]" in text(app, "#problems") and "a note" in text(app, "#problems")
        del app._follower.target.poll
        await poll()
        assert "cut" not in text(app, "#problems")

    drive(run, steps, notes=["a note"])


def test_values_of_moves_have_a_curve_if_the_run_has_them(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

    async def steps(app, pilot):
        shown = [curve.display for curve in app.query(".curve")]
        assert shown == [True] * 4 + [False] * 2 + [True]
        more = {"train/move_value_error": 0.7, "train/move_value_spread_error": 0.2}
        texts = [json.dumps(row | more) + "\n" for row in rows]
        (run / "metrics.jsonl").write_text("".join(texts))
        app._show_charts()
        assert all(curve.display for curve in app.query(".curve"))
        labels = [str(label.render()) for label in app.query(".curve .label")]
        assert any(label.startswith("error of values of moves: 0.700") for label in labels)

    drive(run, steps)


def test_a_long_log_is_read_from_its_end(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(50_000)))
    assert log_files.tail(log, 2) == ["line 49998", "line 49999"]
    assert log_files.tail(tmp_path / "none.log", 2) == []
    assert series.logs(None) == {} and series.logs(tmp_path) == {}


def test_without_the_package_or_a_terminal_there_is_a_sentence(tmp_path, monkeypatch, capsys):
    made(tmp_path)
    assert watch.main([str(tmp_path)]) == 2
    assert "use `zebjax status --live`" in capsys.readouterr().err
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "textual" else find(name)
    )
    assert watch.main([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err == 'zebjax watch: it needs the extra "watch": pip install "zebjax[watch]"\n'
