"""Runs to make a recap of: the original's, from the figures that its author published."""

import dataclasses
import json
import math

import numpy as np

from zebjax.distributed import heartbeat
from zebjax.training.config import EvaluationConfig, Experiment, ReplayConfig, StartConfig

TABLE = """\
| cycle | policy | value | belief | belief acc | vs random | games |
|---:|---:|---:|---:|---:|---:|---:|
| 10 | 0.499 | 0.106 | 0.993 | 45.8 % | 72.7 % | 4 K |
| 160 | 0.487 | 0.232 | 0.538 | 70.2 % | 74.8 % | 170 K |
| 600 | 0.448 | 0.208 | 0.519 | 71.3 % | 74.5 % | 452 K |
| 1190 | 0.402 | 0.208 | 0.515 | 71.5 % | 75.4 % | 741 K |
| 2310 | 0.349 | 0.184 | 0.512 | 71.7 % | 76.2 % | 1.23 M |
| 2730 | 0.333 | 0.175 | 0.507 | 72.1 % | **76.3 %** | 1.36 M |
| 3743 | 0.304 | 0.096 | 0.507 | 72.3 % | 71.3 % | 1.70 M |"""
"""Milestones of the original's run `large-belief`, February 2026."""
GAMES = (4_000, 170_000, 452_000, 741_000, 1_230_000, 1_360_000, 1_700_608)
FINAL = {
    "train/total_loss": 0.654,
    "train/policy_entropy": 0.304,
    "train/policy_kl_divergence": 0.086,
    "train/policy_top1_accuracy": 0.898,
    "train/value_mean": -0.004,
    "train/value_std": 0.949,
    "train/grad_norm": 2.95,
    "perf/cycle_wall_time_s": 43.3,
}
"""More metrics of its last cycle."""
NAMES = ("policy_loss", "value_loss", "belief_loss", "belief_accuracy")
GPUS = (
    ("RTX 4070 Ti", 4.1, 0.074),
    ("RTX 4070 Ti", 4.2, 0.090),
    ("RTX 4070", 3.3, 0.080),
    ("RTX 3080", 3.0, 0.079),
)
"""GPU, games/s and USD/h of some of its workers."""


def original_rows():
    """The table as rows of a metrics file."""
    rows = []
    for line, games in zip(TABLE.splitlines()[2:], GAMES, strict=True):
        cells = [cell.strip(" *%") for cell in line.strip("|").split("|")]
        cycle, policy, value, belief, accuracy, win = map(float, cells[:6])
        row = {"cycle": int(cycle), "stats/total_games": games}
        trained = (policy, value, belief, accuracy / 100)
        row |= {f"train/{name}": value for name, value in zip(NAMES, trained, strict=True)}
        rows.append(row | {"eval/vs_random_win_rate": win / 100})
    rows[-1] |= FINAL
    return rows


def dense_rows(seed=0):
    """A row for each of its 3,743 cycles: the table interpolated, with noise.

    The belief head learns in 50 cycles, as its author tells; an evaluation every 50 cycles.
    """
    rng, table = np.random.default_rng(seed), original_rows()
    at = [row["cycle"] for row in table]

    def between(cycle, name, noise):
        return float(np.interp(cycle, at, [row[name] for row in table]) + noise * rng.normal())

    rows = []
    for cycle in range(1, 3744):
        early = math.exp(-cycle / 15)
        arrived = 28 * (420 if cycle < 2600 else 500)
        row = {
            "cycle": cycle,
            "stats/total_games": round(between(cycle, "stats/total_games", 0)),
            "train/policy_loss": between(cycle, "train/policy_loss", 0.006),
            "train/value_loss": between(cycle, "train/value_loss", 0.012),
            "train/belief_loss": 0.53 - 0.023 * cycle / 3743 + 0.46 * early + 0.004 * rng.normal(),
            "train/belief_accuracy": 0.705 + 0.018 * cycle / 3743 - 0.25 * early,
            "train/total_loss": between(cycle, "train/policy_loss", 0.006) + 0.35,
            "perf/cycle_wall_time_s": 48.1 + rng.normal(),
            "perf/ingest_time_s": 4.0,
            "perf/games_per_s": 35.0 if 800 < cycle < 2600 else 8.4 + rng.normal(),
            "perf/updates_per_s": 23.1 + rng.normal(),
            "stats/replay_buffer_selfplay": min(
                115_000 + cycle * 6_000, 1_000_000 if cycle < 3350 else 500_000
            ),
            "ingest/selfplay_examples": arrived,
            "ingest/selfplay_files": 4,
        }
        if cycle % 50 == 0 or cycle == 3743:
            row |= {
                "eval/vs_random_win_rate": between(cycle, "eval/vs_random_win_rate", 0.004),
                "eval/vs_random_win_rate_ci95": 0.019,
                "eval/belief_accuracy_hidden": 0.385 + 0.008 * cycle / 3743,
                "eval/belief_accuracy_marginal": 0.392,
                "eval/belief_cross_entropy_hidden": 1.05 - 0.02 * cycle / 3743,
                "eval/belief_cross_entropy_marginal": 1.0291,
            }
        rows.append(row)
    rows[-1] |= FINAL | {"eval/vs_random_win_rate": 0.713}
    return rows


def write_rows(path, rows):
    """Write a metrics file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ladder():
    """The original's ratings as the output of `zebjax arena --json`."""
    rated = {"eq:n=100": 1600, "zeb:large-belief": 1579, "eq:n=500": 1561, "random": 1386}
    match = {"n_deals": 50, "win_rate_ci95": [0.4, 0.6], "win_rate_cs95": None, "margin": 0.4}
    return {
        "ratings": [
            {"player": player, "elo": elo, "ci95": [elo - 20.0, elo + 20.0], "games": 300}
            for player, elo in rated.items()
        ],
        "matches": [{"a": "zeb:large-belief", "b": "random", "win_rate": 0.763} | match],
    }


def events(begin_s):
    """50 hours of a fleet: four workers, an offer that never starts, a crash, a quarantine."""
    made = []

    def add(hour, name, event, gpu="", price=None, detail=""):
        made.append(
            {
                "time_s": begin_s + 3600 * hour,
                "role": "selfplay",
                "name": name,
                "event": event,
                "host": f"host-{name}",
                "gpu": gpu,
                "price_usd_per_hour": price,
                "detail": detail,
            }
        )

    for place, (gpu, _, price) in enumerate(GPUS):
        add(place / 4, f"play-{place}", "rented", gpu, price, f"offer {9000 + place}")
        add(place / 4 + 0.1, f"play-{place}", "started", gpu, price, "first heartbeat")
    add(1.0, "play-9", "rented", "RTX 3060", 0.05, "offer 7")
    add(1.2, "play-9", "not_started", "RTX 3060", 0.05, "no heartbeat for 600 s")
    add(1.2, "play-9", "quarantined", "RTX 3060", 0.05, "offer 7 for 6 h: it did not start")
    add(20.0, "play-2", "crashed", "RTX 4070", 0.08, "exit status 1: no module named forge")
    add(50.0, "play-0", "ended", "RTX 4070 Ti", 0.074)
    add(50.0, "play-1", "ended", "RTX 4070 Ti", 0.09)
    add(50.0, "play-3", "ended", "RTX 3080", 0.079)
    return made


def make(runs, name="large-belief", rows=None, begin_s=1_770_600_000.0):
    """Write the folder of a run with everything that a recap reads, and its store.

    Returns:
        The run's folder.
    """
    folder = runs / "large-belief"
    write_rows(folder / "metrics.jsonl", dense_rows() if rows is None else rows)
    settings = Experiment(
        name="large-belief",
        cycles=3743,
        start=StartConfig(checkpoint="large.pt", belief_head="fresh", total_games=0),
        replay=ReplayConfig(min_buffer=250_000, max_example_age_s=600),
        evaluation=EvaluationConfig(every_cycles=50),
    )
    plain = dataclasses.asdict(settings) | {"name": name}
    (folder / "experiment.json").write_text(json.dumps(plain))
    changed = [
        {"step": 0, "field": "replay.min_buffer", "from": 0, "to": 250_000},
        {"step": 3340, "field": "replay.capacity_examples", "from": 1_000_000, "to": 500_000},
    ]
    times = ("2026-02-09T01:20:00+00:00", "2026-02-10T22:20:00+00:00")
    entries = [one | {"time": time} for one, time in zip(changed, times, strict=True)]
    (folder / "changes.json").write_text(json.dumps(entries))
    start = {
        "started_at": "2026-02-09T01:20:00+00:00",
        "cycle": 0,
        "device": "NVIDIA GeForce RTX 3050 Ti",
        "python": "3.11.7",
        "command": ["/opt/zebjax/__main__.py", "train", "large_belief", "--role", "learner"],
        "commit": "54bb6cc",
        "versions": {"zebjax": "0.2.0", "jax": "0.10.2"},
    }
    (folder / "environment.json").write_text(json.dumps([start]))
    save = folder / "state" / "step_000000009"
    save.mkdir(parents=True)
    progress = {"first_cycle": 0, "cycle": 3743, "total_games": 1_700_608}
    (save / "progress.json").write_text(json.dumps(progress | {"wandb_run_id": "waxffg2j"}))
    (folder / "start").mkdir()
    origin = {"source": "large.pt", "sha256": "98ce" * 16, "total_games": 0}
    (folder / "start" / "provenance.json").write_text(json.dumps(origin))
    (folder / "fleet").mkdir()
    lines = "".join(json.dumps(event) + "\n" for event in events(begin_s))
    (folder / "fleet" / "events.jsonl").write_text(lines + '{"torn": ')
    (folder / "arena").mkdir()
    (folder / "arena" / "ladder.json").write_text(json.dumps(ladder()))
    for place, (_, speed, _) in enumerate(GPUS):
        facts = {"games": 600_000, "games_per_s": speed}
        beat = heartbeat.to_bytes("selfplay", f"play-{place}", "1", 5.0, facts)
        file = runs / "store" / "large-belief" / "examples" / f"play-{place}" / "status.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(beat)
    return folder
