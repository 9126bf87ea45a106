"""A network and a table as one HTML file, which opens from disk and asks for nothing elsewhere."""

import base64
import dataclasses
import hashlib
import json
import re
from importlib import resources
from typing import Any

import jax
import numpy as np

from zebjax import network, observe
from zebjax.network.storage import array_names

SCRIPTS = ("domino", "panels", "page", "rules", "network", "local", "exported")
"""Scripts of the page, in this order."""
_TOKENIZER = "v1"


def network_data(name: str, config: network.ZebConfig, params: network.Params) -> dict[str, Any]:
    """A network as JSON data: its arrays rounded to float16 and joined, in base64.

    Args:
        name: shown on the page.
        config: the network; its tokenizer must be v1, which `network.js` computes.
        params: its parameters.

    Raises:
        ValueError: for another tokenizer, or a parameter that float16 cannot hold.
    """
    if config.tokenizer != _TOKENIZER:
        raise ValueError(f"tokenizer: expected {_TOKENIZER}, got {config.tokenizer!r}")
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
        "data": base64.b64encode(data).decode(),
    }


def page(name: str, config: network.ZebConfig, params: network.Params) -> str:
    """The page as HTML text; see `network_data` for the arguments and errors."""
    folder = resources.files("zebjax.table.web") / "static"
    scripts = (folder / f"{script}.js" for script in SCRIPTS)
    code = "\n".join(script.read_text() for script in scripts)
    style = (folder / "table.css").read_text()
    # `<` cannot end the element, whatever the network is called.
    data = json.dumps(network_data(name, config, params)).replace("<", "\\u003c")
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
    inner = f'<script type="application/json" id="network">{data}</script>\n<script>{code}</script>'
    return html.replace("</body>", f"{inner}\n</body>")


def _digest(text: str) -> str:
    """The source expression of an inline script or style with exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
