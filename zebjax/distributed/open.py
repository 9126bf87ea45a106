"""Open the store at a URL."""

import re
from pathlib import Path

from zebjax.common import hub
from zebjax.distributed.object_store import ObjectStore
from zebjax.distributed.store import Refused, Store


def open_store(url: str, create: bool = True) -> Store:
    """Open the store at a URL.

    Args:
        url: a folder, `s3://BUCKET/PREFIX` (also gs://, az://), or `hf://USER/REPO[/PREFIX]`.
            It never contains credentials: they come from the environment or from the files of the
            service's own tools, see `credentials`.
        create: create a missing folder; if False, a missing folder is an error.

    Raises:
        StoreError: if there cannot be a store at this URL.
    """
    if re.match(r"[a-z][a-z0-9+.-]*://[^/]*@", url):
        raise Refused(
            f"{url.split('://')[0]}://...: credentials do not belong in a store's URL; see the "
            "README"
        )
    if hub.is_hub(url):
        from zebjax.distributed.hub_store import HubStore

        return HubStore(url)
    if (
        not create
        and not Path(url.removeprefix("file://")).is_dir()
        and re.match(r"file://|(?!.*://)", url)
    ):
        raise Refused(
            f"{url}: there is no such folder; expected the store's folder with the run's name, as "
            "in runs/store/NAME"
        )
    return ObjectStore(url)
