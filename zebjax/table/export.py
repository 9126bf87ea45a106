"""A network and a table as one HTML file, which opens from disk and asks for nothing elsewhere."""

import base64
import dataclasses
import hashlib
import json
import re
import zlib
from importlib import resources
from typing import Any

import jax
import numpy as np

from zebjax import network, observe
from zebjax.network.storage import array_names
from zebjax.small import storage
from zebjax.small.network import Net, Widths, scorer

SCRIPTS = (
    *("domino", "panels", "page", "rules", "network", "small_rules"),
    *("small_view", "small_beliefs", "small_relations", "small_chances", "small_moves", "small"),
    *("rollouts", "auction", "table", "local", "exported"),
)
"""Scripts of the page, in this order."""
_TOKENIZER = "v1"
_LEVELS = {"first": 31, "moves": 127, "beliefs": 127}
"""The arrays of the small network that the page has as integers, and the greatest of each. Of
20,000 random positions with a choice, 98.7 % have the same best tile as with float16."""


def network_data(name: str, config: network.ZebConfig, params: network.Params) -> dict[str, Any]:
    """A network as JSON data: its arrays rounded to float16 and joined, in base64.

    Args:
        name: shown on the page.
        config: the network; its tokenizer must be v1, which `network.js` computes.
        params: its parameters.

    Raises:
        ValueError: for another tokenizer, a number of columns a head that is no multiple of 4, or a
            parameter that float16 cannot hold.
    """
    if config.tokenizer != _TOKENIZER:
        raise ValueError(f"tokenizer: expected {_TOKENIZER}, got {config.tokenizer!r}")
    if config.embed_dim // config.n_heads % 4:  # `network.js` computes four columns at once
        raise ValueError(
            f"n_heads: expected a multiple of 4 columns a head (embed_dim / n_heads), got "
            f"{config.n_heads} of {config.embed_dim}"
        )
    names = array_names(params)
    leaves = [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(params)]
    limit = float(np.finfo(np.float16).max)
    for each, leaf in zip(names, leaves, strict=True):
        if np.abs(leaf).max(initial=0) > limit:
            raise ValueError(f"array {each}: expected numbers of at most {limit:g} for float16")
    features = observe.tokenizer(config.tokenizer).features
    data = b"".join(leaf.astype("<f2").tobytes() for leaf in leaves)
    return {
        "name": name,
        "config": dataclasses.asdict(config),
        "cardinalities": {feature: size for feature, (size, _) in features.items()},
        "arrays": [[each, list(leaf.shape)] for each, leaf in zip(names, leaves, strict=True)],
        "data": _base64(data),
    }


def small_data(net: Net) -> dict[str, Any]:
    """A small network as JSON data, in base64.

    Args:
        net: with 28 scores, see `small.network.scorer`.

    Returns:
        `hidden`, `second`, `move`, `move_second`: the widths. `levels`: the arrays of `_LEVELS` as
        int8, for deflate compresses the first to 6 bits or less. `steps`: the unit of each of
        their rows, and `rest`: all other arrays in the order of `Net`, both float16.

    Raises:
        ValueError: unless all widths are multiples of 8, as `small.js` needs it.
    """
    widths = dict(zip(Widths._fields, net.second.shape + net.move_second.shape, strict=True))
    for name, width in widths.items():
        if width % 8:  # columns at once in `small.js`
            raise ValueError(f"{name}: expected a multiple of 8, got {width}")
    rounded = [_levels(net, name) for name in _LEVELS]
    rest = (array for name, array in net._asdict().items() if name not in _LEVELS)
    return {
        **widths,
        "levels": _base64(zlib.compress(b"".join(levels.tobytes() for _, levels in rounded), 9)),
        "steps": _base64(b"".join(steps.tobytes() for steps, _ in rounded)),
        "rest": _base64(b"".join(array.astype("<f2").tobytes() for array in rest)),
    }


def small_as_read(net: Net) -> Net:
    """The network that the page computes with, from what `small_data` writes; float32."""
    read = {name: array.astype("<f2").astype(np.float32) for name, array in net._asdict().items()}
    for name in _LEVELS:
        steps, levels = _levels(net, name)
        read[name] = levels * steps.astype(np.float32)
    return Net(**read)


def _levels(net: Net, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The step of each row of one of `_LEVELS`, float16 `[..., 1]`, and its integers."""
    table, most = getattr(net, name), _LEVELS[name]
    steps = (np.abs(table).max(-1, keepdims=True, initial=0) / most).astype("<f2")
    exact = steps.astype(np.float32)
    levels = np.divide(table, exact, where=exact > 0, out=np.zeros_like(table))
    return steps, np.rint(levels).clip(-most, most).astype(np.int8)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def page(name: str, config: network.ZebConfig, params: network.Params) -> str:
    """The page as HTML text; see `network_data` for the arguments and errors."""
    folder = resources.files("zebjax.table.web") / "static"
    scripts = (folder / f"{script}.js" for script in SCRIPTS)
    code = "\n".join(script.read_text() for script in scripts)
    style = (folder / "table.css").read_text()
    # `<` cannot end the element, whatever the network is called.
    data = json.dumps(network_data(name, config, params)).replace("<", "\\u003c")
    small = json.dumps(small_data(scorer(storage.load(storage.BUNDLED_NAME))))
    policy = (
        f"default-src 'none'; script-src {_digest(code)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    html = (folder / "page.html").read_text()
    html = re.sub(r'<script src="[^"]*"></script>\n', "", html)
    html = html.replace(
        '<link rel="stylesheet" href="/static/table.css">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>',
    )
    inner = "\n".join(
        f'<script type="application/json" id="{each}">{text}</script>'
        for each, text in (("network", data), ("small", small))
    )
    inner += f"\n<script>{code}</script>"
    return html.replace("</body>", f"{inner}\n</body>")


def _digest(text: str) -> str:
    """The source expression of an inline script or style with exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
