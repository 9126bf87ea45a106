"""Opening the store at a URL."""

import re
from pathlib import Path

from zebjax.common import hub
from zebjax.distributed.object_store import ObjectStore
from zebjax.distributed.store import Refused, Store


def open_store(url: str, create: bool = True) -> Store:
    """The store at a place: a folder, `s3://BUCKET/PREFIX` and the like, or
    `hf://USER/REPO[/PREFIX]`.

    A folder is made if need be, unless not to `create`. Credentials come from the environment or
    the tools' own files, never from the URL.

    Raises:
        StoreError: if there can be no such store.
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
            f"{url}: there is no such folder; expected a store's place and a run's name, as in "
            "runs/store/NAME"
        )
    return ObjectStore(url)
