"""The recap of a run: what it holds, what it says is missing, and that names are harmless."""

import json
import re

import pytest

from tests.support import recap_run
from tests.support.pages import Page
from zebjax import recap
from zebjax.operations.recap import html, markdown, page, read

SECTIONS = (
    *("overview", "configuration", "milestones", "phases", "final", "belief", "strength"),
    *("throughput", "cost", "fleet", "warnings", "again"),
)
HOSTILE = "<script>alert(1)</script>"


def made(where, **more):
    """The document of a run, its page and its Markdown."""
    document = page.make(read.read(str(where), **more))
    return document, html.render(document), markdown.render(document)


def section(text, title):
    """A section of the Markdown."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The original's run, made up from what its author tells, with all files of a run."""
    return made(recap_run.make(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Only the milestones of the original as a metrics file, through the command."""
    file = tmp_path_factory.mktemp("original") / "metrics.jsonl"
    recap_run.write_rows(file, recap_run.original_rows())
    assert recap.main([str(file)]) == 0
    return file.with_name("recap.html").read_text(), file.with_name("recap.md").read_text()


# The original's own numbers


def test_the_milestones_of_the_original_come_back_line_for_line(bare):
    assert f"\n{recap_run.TABLE}\n" in bare[1]


def test_its_three_phases_come_back(bare):
    shown = section(bare[1], "Phases found in the data")
    assert "The metrics show 3 phases." in shown
    rows = [line.split(" | ") for line in shown.splitlines() if re.match(r"\| \d", line)]
    assert [row[2] for row in rows] == ["10–160", "160–2730", "2730–3743"]
    assert rows[2][7].strip("| ") == "76.3 % → 71.3 %"
    assert "*Rule: policy loss, value loss, belief loss, win rate over cycles" in shown


def test_its_final_metrics_and_its_peak_come_back(bare):
    shown = section(bare[1], "Final metrics and peak")
    for name, value in (
        ("total loss", "0.654"),
        ("policy entropy", "0.304"),
        ("policy KL divergence", "0.086"),
        ("policy top-1 accuracy", "89.8 %"),
        ("value mean", "-0.004"),
        ("value standard deviation", "0.949"),
        ("gradient norm", "2.95"),
        ("seconds a cycle", "43.3"),
        ("games", "1,700,608"),
    ):
        assert f"| {name} | {value} |" in shown
    assert "76.3 % at cycle 2730 (1.36 M games); the last is 71.3 %" in shown


def test_a_metrics_file_alone_says_what_is_missing_and_how_to_get_it(bare):
    for title, words in (
        ("Configuration", "experiment.json"),
        ("Belief: all tiles, hidden tiles, exact counting", "`zebjax belief PATH`"),
        ("Ladder and head-to-head", "`zebjax arena --ladder zeb:RUN --json`"),
        ("Throughput", "`zebjax recap STORE/NAME`"),
        ("Cost", "`zebjax fleet`"),
        ("Fleet over time", "fleet/events.jsonl"),
        ("How to run it again", "environment.json"),
    ):
        assert re.search(rf"> Missing: .*{re.escape(words)}", section(bare[1], title)), title
    assert Page(bare[0]).text.count("Missing.") == bare[1].count("> Missing: ") >= 8


# A whole run


def test_a_whole_run_has_all_sections_and_all_numbers(whole):
    document, shown, text = whole
    assert tuple(one.id for one in document.sections) == SECTIONS
    assert all(one.blocks for one in document.sections)
    parsed = Page(shown)
    assert [value for value in parsed.values("id") if value in SECTIONS] == list(SECTIONS)
    for words in (
        "complete: cycle 3,743 of 3,743",
        "transformer: 6 layers, 8 heads, width 256, feed-forward 512",
        "waxffg2j",
        "NVIDIA GeForce RTX 3050 Ti",
        "98ce" * 16,
        "zebjax train large_belief --role learner",
        "git checkout 54bb6cc",
        "eq:n=100 is fixed at 1600",
    ):
        assert words in parsed.text, words
        assert words in text, words
    assert "| replay.capacity_examples | 1,000,000 | 500,000 | 3340 |" in text
    assert (
        "| replay.capacity_examples | 1,000,000 | 500,000 | 3,340 | 2026-02-10 22:20 UTC |" in text
    )
    assert "Phase 3: replay.capacity_examples was changed from 1,000,000 to 500,000" in text
    assert "| zeb:large-belief | 1579 | \\[1559, 1599] | 300 |" in text


def test_speed_and_cost_are_told_by_worker_and_by_gpu(whole):
    shown = section(whole[2], "Throughput")
    assert "| play-1 | selfplay | RTX 4070 Ti |" in shown
    row = "| RTX 4070 Ti | selfplay | 2 | 4.1–4.2 | 8.3 | 0.074–0.090 | 0.018–0.021 |"
    assert row in shown
    # 50 h, 49.75 h, 19.5 h (it crashed), 49.25 h and 12 minutes that led to nothing
    usd = 50 * 0.074 + 49.75 * 0.09 + 19.5 * 0.08 + 49.25 * 0.079 + 0.2 * 0.05
    assert f"| in all |  |  | 168.7 | {usd:.2f} | – |" in section(whole[2], "Cost")
    assert f"{usd:.2f} USD for 1.70 M games" in whole[2]


def test_troubles_of_the_fleet_are_listed(whole):
    shown = section(whole[2], "Fleet over time")
    assert "1 quarantined, 5 rented" in shown
    assert "| quarantined | play-9 | RTX 3060 | host-play-9 | offer 7 for 6 h" in shown
    assert "| crashed | play-2 | RTX 4070 | host-play-2 | exit status 1: no module" in shown


def test_warnings_tell_what_holds_and_what_held(whole):
    shown = section(whole[2], "Warnings")
    assert "| ⚠ warning | memorising_by_strength | from cycle" in shown
    # A million examples were too many for the games that arrived; half a million were not.
    fine = r"\| fine \| stale \| the buffer needs 36 cycles to be replaced \| \d+–(\d+) \|"
    last = int(re.search(fine, shown)[1])
    assert 3200 < last < 3400
    assert "| not checked | memorising | there are no losses on held-out games" in shown


def test_belief_is_shown_beside_exact_counting(whole):
    shown = section(whole[2], "Belief: all tiles, hidden tiles, exact counting")
    assert "| accuracy | 72.3 % | 39.3 % | 39.2 % |" in shown
    assert "| cross-entropy, nats a tile | – | 1.0300 | 1.0291 |" in shown


def test_every_chart_is_told_in_words_and_is_thinned(whole):
    document, shown, _ = whole
    charts = [block for one in document.sections for block in one.blocks if hasattr(block, "svg")]
    assert len(charts) >= 7
    labels = [value for value in Page(shown).values("aria-label") if "starts with" in value]
    assert len(labels) >= 5 and all(len(chart.words) > 40 for chart in charts)
    for chart in charts:
        points = max(path.count("\nL ") + path.count(" L ") for path in chart.svg.split("<path"))
        assert points <= 2 * 400 + 2  # a band has two sides
        assert "#0000" not in chart.svg  # all colours are the style sheet's


def test_the_page_is_small_and_asks_for_nothing(whole):
    shown = whole[1]
    assert len(shown.encode()) < 200_000
    parsed = Page(shown)
    assert not {"script", "iframe", "object", "embed", "img"} & set(parsed.tags)
    assert not parsed.values("src")
    targets = [value for value in parsed.values("href") if not value.startswith("#")]
    assert targets == ["data:,"]
    assert not re.search(r"url\((?!#)|@import", shown)


# Whatever a run is called


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run in which everything is called by a script."""
    folder = recap_run.make(tmp_path_factory.mktemp("hostile"), HOSTILE, recap_run.original_rows())
    word = f'{HOSTILE}"><img src=x onerror=alert(2)> $\\frac{{ `x` [a](javascript:alert(3)) |'
    events = [
        {"time_s": hour, "event": kind, "price_usd_per_hour": 1.0}
        | dict.fromkeys(("role", "name", "host", "gpu", "detail"), word)
        for hour, kind in ((0, "rented"), (3600, "fatal"), (3600, word))
    ]
    (folder / "fleet" / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    start = {"device": word, "command": ["zebjax", word], "commit": word, "versions": {word: word}}
    (folder / "environment.json").write_text(json.dumps([start]))
    arena = {"a": word, "b": word + "2", "win_rate": 0.5, "n_deals": 10}
    (folder / "arena" / "ladder.json").write_text(json.dumps(arena))
    changed = [{"step": 200, "time": word, "field": word, "from": word, "to": [word]}, word, {}]
    (folder / "changes.json").write_text(json.dumps(changed))
    rows = [row | {"eval/vs_a_b_win_rate": 0.5} for row in recap_run.original_rows()]
    recap_run.write_rows(folder / "metrics.jsonl", rows)
    return made(folder)


def test_names_that_are_scripts_are_texts_of_the_page(hostile):
    parsed = Page(hostile[1])
    assert f"{HOSTILE}: recap" in parsed.text
    assert not {"script", "img"} & set(parsed.tags)
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert not [value for value in parsed.values("href") if "javascript" in value]


def test_names_that_are_scripts_are_texts_of_the_markdown(hostile):
    text = hostile[2]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert r"# \<script\>alert(1)\</script\>: recap" in prose
    outside = re.sub(r"(?<!\\)`[^`]*`", "", prose)
    assert not re.search(r"(?<!\\)<(?!/?(details|summary)>)", outside)
    assert not re.search(r"(?<!\\)\[[^\]]*\]\(", outside)
    # No cell begins another one: all lines of a table have as many as its head.
    for table in re.findall(r"(?:^\|.*\n)+", prose, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


# Runs in progress, and what is not a run


def test_a_run_without_a_row_is_told_as_one(tmp_path):
    folder = recap_run.make(tmp_path, rows=[])
    (folder / "state" / "step_000000009" / "progress.json").unlink()
    document, shown, text = made(folder)
    assert tuple(one.id for one in document.sections) == SECTIONS and Page(shown)
    assert "nothing is known of its progress" in text
    assert "> Missing: No cycle is complete yet." in section(text, "Milestones")


def test_a_run_in_progress_says_how_far_it_is(tmp_path):
    losses = {"held_out/value_loss": 0.52, "held_out/trained_value_loss": 0.5}
    folder = recap_run.make(tmp_path, rows=[one | losses for one in recap_run.original_rows()[:3]])
    url = "https://wandb.ai/me/zebjax/runs/abc"
    (folder / "wandb.json").write_text(json.dumps({"id": "abc", "url": url}))
    save = folder / "state" / "step_000000009" / "progress.json"
    save.write_text('{"first_cycle": 0, "cycle": 600}')
    document, _, text = made(folder)
    assert "not complete: cycle 600 of 3,743" in text
    assert "Too few rows to look for phases" in text
    assert ("W&B run", url) in document.sections[0].blocks[0].rows
    assert "held out: starts with 0.520" in section(text, "Milestones")
    assert "0.500 on trained examples and 0.520 on held-out" in section(text, "Warnings")


def test_a_run_with_values_of_moves_shows_their_error(tmp_path):
    rows = recap_run.original_rows()[:3]
    title = "Error of the values of moves"
    assert title not in made(recap_run.make(tmp_path / "without", rows=rows))[2]
    errors = {"train/move_value_error": 0.72, "held_out/move_value_error": 0.81}
    errors["train/move_value_spread_error"] = 0.21
    folder = recap_run.make(tmp_path / "with", rows=[one | errors for one in rows])
    text = made(folder)[2]
    told = section(text, "Milestones")
    assert title in told and "all: starts with 0.720" in told
    assert "differences: starts with 0.210" in told and "held out: starts with 0.810" in told
    assert "| error of the values of moves | 0.720 |" in section(text, "Final metrics and peak")


def test_a_damaged_file_is_named_and_the_rest_is_shown(tmp_path):
    folder = recap_run.make(tmp_path, rows=recap_run.original_rows())
    for name in ("environment.json", "arena/ladder.json"):
        (folder / name).write_text("{")
    facts = read.read(str(folder))
    assert [re.search(r"\w+\.json", note)[0] for note in facts.notes] == [
        "environment.json",
        "ladder.json",
    ]
    text = markdown.render(page.make(facts))
    assert "environment.json: not a JSON file" in section(text, "Overview and lineage")
    assert recap_run.TABLE.splitlines()[5].split(" | ")[1] in text


def publication(step, experiment, hour):
    return {
        "step": step,
        "generation": step,
        "created_at": f"2026-02-09T{hour:02}:00:00+00:00",
        "experiment": experiment,
    }


def test_a_store_alone_tells_settings_with_changes_and_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recap_run.make(tmp_path / "elsewhere", rows=[])
    store = (tmp_path / "elsewhere" / "store" / "large-belief").rename(tmp_path / "shared")
    settings = {"name": "large-belief", "cycles": 100, "learner": {"lr": 1e-4}}
    changed = settings | {"learner": {"lr": 3e-4}}
    for step, experiment in ((25, settings), (50, settings), (75, changed)):
        folder = store / "weights" / f"{step:09d}"
        folder.mkdir(parents=True)
        manifest = json.dumps(publication(step, experiment, step // 25))
        (folder / "manifest.json").write_text(manifest)
    assert recap.main([str(store)]) == 0
    text = (tmp_path / "shared-recap.md").read_text()
    # It was changed after the publication of step 50.
    assert "| learner.lr | 0.0001 | 0.0003 | 50 | 2026-02-09 03:00 UTC |" in text
    assert "| play-0 | selfplay | unknown GPU |" in text
    assert "> Missing: No cycle is complete yet. metrics.jsonl in the run's folder" in text


def test_a_store_beside_its_run_is_the_same_as_the_run(tmp_path):
    folder = recap_run.make(tmp_path, rows=recap_run.original_rows())
    by_store = read.read(str(tmp_path / "store" / "large-belief"))
    by_run = read.read(str(folder))
    assert by_store.rows == by_run.rows and len(by_store.workers) == len(by_run.workers) == 4


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "does not exist; expected a run's folder"),
        ("empty", "there is no run here; expected a run's folder"),
        ("metrics.jsonl", "row 1: expected a JSON object of numbers"),
        ("nothing.jsonl", "there is no metrics row in it"),
    ],
)
def test_what_is_no_run_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "metrics.jsonl").write_text('{"cycle": "one"}\n')
    (tmp_path / "nothing.jsonl").write_text("")
    assert recap.main([name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("zebjax recap: ") and name in err and said in err


def test_the_page_goes_where_it_is_told(tmp_path, capsys):
    recap_run.write_rows(tmp_path / "metrics.jsonl", recap_run.original_rows())
    (tmp_path / "ladder.json").write_text(json.dumps(recap_run.ladder()))
    out = tmp_path / "pages" / "it.html"
    out.parent.mkdir()
    words = [str(tmp_path / "metrics.jsonl"), "--arena", str(tmp_path / "ladder.json")]
    assert recap.main([*words, "--out", str(out)]) == 0
    assert "eq:n=100 is fixed at 1600" in out.with_suffix(".md").read_text()
    assert f"{out}: {out.stat().st_size:,} bytes" in capsys.readouterr().out
    assert sorted(path.name for path in out.parent.iterdir()) == ["it.html", "it.md"]
    with pytest.raises(SystemExit) as stop:
        recap.main([*words, "--out", "it.pdf"])
    assert stop.value.code == 2
