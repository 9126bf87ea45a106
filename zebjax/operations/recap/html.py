"""A document as one HTML page: no script, no request, one file."""

from pathlib import Path

import jinja2
import markupsafe

from zebjax.operations.recap.document import Document, spans

_FOLDER = Path(__file__).parent


def render(document: Document) -> str:
    """Return the document as an HTML page.

    All texts are escaped, whatever they hold. Only the charts, which matplotlib made and escaped,
    and the style sheet are not.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_FOLDER / "page.css").read_text()
    return environment.get_template("page.html.jinja").render(
        document=document,
        style=markupsafe.Markup(style),
        kind=lambda block: type(block).__name__,
        spans=spans,
    )
