"""The learner's weights in a store: how they are published, found and checked, and which learner
may publish.

Every publication is a new generation, also when a rollback or a resumed learner publishes a step
again:

    weights/<generation>/network-....safetensors    the parameters
    weights/<generation>/manifest.json              their description; created last, so it is there
                                                    only if they are
    weights/newest.json                             the newest manifest again, replaced each time;
                                                    readers poll it
    leases/<epoch>.json                             created by each learner that starts; the owner
                                                    of the newest one may publish
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from zebjax.distributed.store import NO_OBJECTS, Changed, Missing, Store, Unreachable, is_name
from zebjax.network import Params, ZebConfig, storage

NEWEST = "weights/newest.json"
MAX_NETWORK_BYTES = storage.MAX_BYTES
MAX_JSON_BYTES = 1 << 20
_MAX_FETCHES = 3  # a transfer may be cut short
_MAX_EPOCH = 999_999_999
_LEASE = re.compile(r"leases/(\d{9})\.json")
_MANIFEST = re.compile(r"weights/(\d{9})/manifest\.json")
_NETWORK = re.compile(r"weights/(\d{9})/[^/]+\.safetensors")


class Fenced(ValueError):
    """Another learner has taken over; this one must not publish any more."""


class BadWeights(ValueError):
    """Published weights that must not be used; the message says which and why."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The description of a generation of weights."""

    generation: int
    epoch: int
    """Of the learner that published it."""
    object: str
    """Name of the object with its parameters."""
    sha256: str
    """Of that object's bytes."""
    size: int
    """Of that object, bytes."""
    step: int
    total_games: int
    wandb_run_id: str | None
    experiment: dict[str, Any]
    """The resolved experiment."""
    parent: int | None
    """The generation that was the newest before it; None for the first."""
    created_at: str
    """UTC, ISO 8601."""


def to_bytes(config: ZebConfig, params: Params) -> bytes:
    """A network as one safetensors file, as in `model.safetensors` of a network folder."""
    return storage.to_bytes(config, params)


def from_bytes(data: bytes, config: ZebConfig) -> Params:
    """The parameters in such a file.

    Raises:
        BadWeights: if it is no such file, or of another network; never another error.
    """
    try:
        return storage.from_bytes(data, config)
    except ValueError as error:
        raise BadWeights(str(error)) from None


def newest(store: Store, tag: str | None = None) -> tuple[Manifest, str] | None:
    """The newest manifest and its tag; None if it still is the one with `tag`.

    Raises:
        Missing: if nothing was published.
        BadWeights: if the object is no manifest.
    """
    changed = store.get_if_changed(NEWEST, tag, MAX_JSON_BYTES)
    return None if changed is None else (_manifest(changed), changed.tag)


def _manifest(changed: Changed) -> Manifest:
    try:
        manifest = Manifest(**json.loads(changed.data))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadWeights(f"{NEWEST}: not a manifest ({error})") from None
    counts = (
        manifest.generation,
        manifest.epoch,
        manifest.size,
        manifest.step,
        manifest.total_games,
    )
    texts = (manifest.object, manifest.sha256, manifest.created_at)
    if not (
        all(type(count) is int and 0 <= count < 2**31 for count in counts)
        and all(type(text) is str for text in texts)
        and type(manifest.experiment) is dict
        and type(manifest.wandb_run_id) in (str, type(None))
        and type(manifest.parent) in (int, type(None))
        and is_name(manifest.object)
    ):
        raise BadWeights(f"{NEWEST}: not a possible manifest")
    return manifest


def fetch(store: Store, manifest: Manifest, config: ZebConfig) -> Params:
    """The parameters of a generation, checked against the hash in its manifest.

    Raises:
        BadWeights: if they are not there, not what the manifest says, or not of this network.
        StoreError: if they cannot be fetched.
    """
    for _ in range(_MAX_FETCHES):
        try:
            data = store.get(manifest.object, MAX_NETWORK_BYTES)
        except Missing:  # pruned since the manifest was read
            raise BadWeights(f"{manifest.object}: it is not there any more") from None
        if len(data) == manifest.size and hashlib.sha256(data).hexdigest() == manifest.sha256:
            break
    else:
        raise BadWeights(
            f"{manifest.object}: its sha256 is not the manifest's, fetched {_MAX_FETCHES} times"
        )
    try:
        return from_bytes(data, config)
    except BadWeights as error:
        raise BadWeights(f"{manifest.object}: {error}") from None


class Lease(NamedTuple):
    """The right to publish, until another learner takes the next epoch."""

    epoch: int


def _lease_name(epoch: int) -> str:
    return f"leases/{epoch:09d}.json"


def _numbers(names: re.Pattern[str], store: Store, folder: str, after: str = "") -> list[int]:
    """The numbers in the names of a folder that match, in order."""
    return sorted(
        int(match[1])
        for entry in store.entries(folder, after)
        if (match := names.fullmatch(entry.name))
    )


def newest_lease(store: Store) -> tuple[int, dict[str, Any]]:
    """The newest epoch and what its owner wrote about itself; 0 and {} if there is none."""
    epochs = _numbers(_LEASE, store, "leases")
    if not epochs:
        return 0, {}
    try:
        owner = json.loads(store.get(_lease_name(epochs[-1]), MAX_JSON_BYTES))
    except (ValueError, RecursionError):
        owner = {}
    return epochs[-1], owner if isinstance(owner, dict) else {}


def take_lease(store: Store, owner: dict[str, Any]) -> Lease:
    """Take the next epoch; of two that try at once one gets it and the other the one after.

    Raises:
        BadWeights: if no epoch is left, which is a file of somebody else's.
    """
    epoch, _ = newest_lease(store)
    while True:
        epoch += 1
        if epoch > _MAX_EPOCH:
            raise BadWeights(f"{store.where}: {_lease_name(_MAX_EPOCH)} is no learner's; delete it")
        name = _lease_name(epoch)
        if name in store.put({name: json.dumps(owner).encode()}):
            return Lease(epoch)


def check_lease(store: Store, lease: Lease) -> None:
    """Raise Fenced if another learner has taken a later epoch."""
    if _numbers(_LEASE, store, "leases", after=_lease_name(lease.epoch)):
        epoch, owner = newest_lease(store)
        raise Fenced(
            f"{store.where}: another learner ({owner.get('where', 'unknown')}, epoch {epoch}) has "
            "taken over from this "
            f"one (epoch {lease.epoch}); stop one of them, or give this one another --name"
        )


def publish(
    store: Store,
    lease: Lease,
    network_bytes: bytes,
    facts: dict[str, Any],
    beside: Mapping[str, bytes] = NO_OBJECTS,
) -> Manifest:
    """Make these weights the newest; `facts` are the manifest's fields that the learner knows.

    `beside` are objects that are replaced along with the pointer, such as the same weights for
    others to read.

    Raises:
        Fenced: if another learner has taken over.
        StoreError: if the store cannot take them now; the same may be tried again later.
    """
    check_lease(store, lease)
    try:
        found = newest(store)
        parent = found[0].generation if found else None
    except (Missing, BadWeights):
        parent = None
    # The pointer may lag behind where a learner was killed after it had created a manifest.
    after = f"weights/{parent:09d}" if parent else ""
    generation = max([parent or 0, *_numbers(_MANIFEST, store, "weights", after)]) + 1
    folder = f"weights/{generation:09d}"
    digest = hashlib.sha256(network_bytes).hexdigest()
    # With a part of the hash: a try that was killed may have left other bytes in this folder.
    name = f"{folder}/network-{digest[:16]}.safetensors"
    manifest = Manifest(
        generation=generation,
        epoch=lease.epoch,
        object=name,
        sha256=digest,
        size=len(network_bytes),
        parent=parent,
        **facts,
    )
    text = json.dumps(dataclasses.asdict(manifest), indent=1).encode()
    new = {name: network_bytes, f"{folder}/manifest.json": text}
    replaced = {**beside, NEWEST: text}
    # In this order on every kind of store; on a Hub it is one commit.
    created = store.put(new, replaced)
    if created != new.keys():
        # Then the pointer was not moved: the objects were there already, by an earlier try of ours
        # whose answer was lost, or by another learner.
        if store.get(f"{folder}/manifest.json", MAX_JSON_BYTES) != text:
            check_lease(store, lease)
            raise Unreachable(
                f"{store.where}: generation {generation} was published by another learner at this "
                "moment"
            )
        store.put({}, replaced)
    return manifest


def prune(store: Store, keep: int) -> bool:
    """Delete the parameters of all but the newest `keep` generations. True if any were deleted.

    Their manifests stay, as the record of what was published.
    """
    generations = {
        entry.name: match[1]
        for entry in store.entries("weights")
        if (match := _NETWORK.fullmatch(entry.name))
    }
    newest_ones = sorted(set(generations.values()))[-keep:]
    doomed = [name for name, generation in generations.items() if generation not in newest_ones]
    if doomed:
        store.delete(doomed)
    return bool(doomed)
