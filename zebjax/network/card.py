"""The model card of a network folder: what the network is and how it was made, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zebjax.network.config import ZebConfig

WEIGHTS_FILE = "model.safetensors"

_CARD = """\
---
license: mit
library_name: zebjax
pipeline_tag: reinforcement-learning
tags:
- texas-42
- dominoes
- reinforcement-learning
- self-play
- jax
---
# {title}

A network for Texas 42, the four-player partnership domino game with hidden hands: {n_params:,}
parameters. From what one player can see it gives a policy over the seven tiles of the hand, the
expected outcome{value}{belief}.

## Use

```python
from zebjax import network
config, params = network.load("{place}"){or_where}
```

{install}{matches}

## Network

{config}

`{weights}` holds the parameters, float32, under their paths (`layers.00.qkv.kernel`); kernels are
`[in, out]`. Its metadata repeats the config.

## Training

{training}
{strength}"""
_NO_FACTS = "Nothing is recorded about its training."
LOCAL = "PATH"
"""The place in the card of a folder that does not know its own."""


def model_card(
    config: ZebConfig,
    n: int,
    training: Mapping[str, Any],
    place: str = LOCAL,
    about: str = "",
    strength: str = "",
) -> str:
    """Return the README.md of a network folder: Markdown with YAML front matter for the Hub.

    Args:
        config: the network's.
        n: number of parameters.
        training: facts to list; values that are not plain are left out.
        place: of the network, as commands take it, such as hf://USER/REPO.
        about: more about its training, Markdown.
        strength: of the network, Markdown; "" leaves that section out.
    """
    known = {
        key: value
        for key, value in training.items()
        if isinstance(value, str | int | float) and value != ""
    }
    title = str(known.get("run") or known.get("source") or "zebjax network")
    return _CARD.format(
        title=_cell(title),
        n_params=n,
        value=" of a contract, made or set" if config.plays_contracts else "",
        belief=", and who holds each hidden tile" * config.belief_head
        + ", and the value and points of each move" * config.move_values,
        config=table(("field", "value"), config.stored_fields().items()),
        weights=WEIGHTS_FILE,
        place=place,
        or_where="  # this folder, or hf://USER/REPO" if place == LOCAL else "",
        matches="\n".join(f"    {command} --deals 500" for command in matches(config, place)),
        install="" if place == LOCAL else '    pip install "zebjax[hub]"\n',
        training="\n\n".join(filter(None, (about, _facts(known)))) or _NO_FACTS,
        strength=f"\n## Strength\n\n{strength}\n" if strength else "",
    )


def matches(config: ZebConfig, place: str) -> list[str]:
    """Return the commands that rate a network at a place: by its policy, and by its values of moves
    if it has the head for them, which its training may not have taught.
    """
    players = [f"zeb:{place}"]
    if config.move_values:
        players.append(f"zeb:{place},choose=value")
    contract = " --contract 30" if config.plays_contracts else ""
    return [f"zebjax arena {player} vs heuristic{contract}" for player in players]


def _facts(known: Mapping[str, Any]) -> str:
    return table(("fact", "value"), known.items()) if known else ""


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; everything in it is escaped."""
    lines = [titles, *rows]
    shown = [f"| {' | '.join(map(_cell, line))} |" for line in lines]
    return "\n".join([shown[0], "|---" * len(titles) + "|", *shown[1:]])


def _cell(value: Any) -> str:
    """Return a value as one cell of a Markdown table, escaped: it may come from a hostile file."""
    text = f"{value:,}" if type(value) is int else str(value)
    text = "".join(filter(str.isprintable, text))[:200]
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
