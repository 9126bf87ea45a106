"""Record files of games with a contract: those of `record`, with the contract of each game.

The value of such games is another, so `record.read` refuses these files, and with it a run that
learns points won. A file names its value in its metadata.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors

from zebjax import bidding, contract, position_arrays, record
from zebjax.common.arrays import Array
from zebjax.contract import Contract
from zebjax.position import N_PLIES, Auction, Position
from zebjax.record import GameRecord, InvalidRecords, Metadata

FIELDS = ("bidder", "bid", "marks")
"""int8 `[n]` each, beside the arrays of the games. A game's declaration is its record's own."""


class ContractRecord(NamedTuple):
    """A game with its contract: the fields of `GameRecord`, then `FIELDS`; many with leading axes.

    It goes wherever a GameRecord is only replayed, selected from and joined: the replay ring and
    the learner's batches.
    """

    hands: Array
    declaration: Array
    leader: Array
    slots: Array
    policy: Array
    weight: Array
    kind: Array
    value: Array
    step_start: Array
    step_end: Array
    moves: Array | None
    bidder: Array
    bid: Array
    marks: Array


AnyRecord = GameRecord | ContractRecord


def joined(records: GameRecord, contracts: Contract) -> ContractRecord:
    """Put games and their contracts into one record, with the same leading axes."""
    return ContractRecord(*records, contracts.bidder, contracts.bid, contracts.marks)


def empty(n: int) -> ContractRecord:
    """`n` blank records, all zeros."""
    none = jnp.zeros((3, n), jnp.int8)
    return ContractRecord(*record.empty(n), *none)


def contract_of(records: Any) -> Contract | None:
    """Return the contracts of records, or None for games without."""
    if not isinstance(records, ContractRecord):
        return None
    return Contract(records.bidder, records.declaration, records.bid, records.marks)


def without_contract(records: AnyRecord) -> GameRecord:
    """Return the games alone."""
    return GameRecord(**{name: getattr(records, name) for name in GameRecord._fields})


def validate(records: GameRecord, contracts: Contract) -> None:
    """Check the contracts of many games, and the games, see `record.validate`.

    Args:
        records: `[n]` games.
        contracts: their contracts, int8 `[n]`.

    Raises:
        InvalidRecords: the message names the field, and the expected and the given value.
    """
    record.validate(records)
    try:
        if np.shape(contracts.bidder) != np.shape(records.leader):
            raise ValueError(
                f"bidder: expected shape {np.shape(records.leader)}, got "
                f"{np.shape(contracts.bidder)}"
            )
        contract.check(contracts)
        contract.check_game(contracts, records.declaration, records.leader)
    except ValueError as error:
        raise InvalidRecords(f"contract: {error}") from None


def write(path: Path, records: GameRecord, contracts: Contract, metadata: Metadata) -> None:
    """Write games with their contracts as one file, completely or not at all.

    Args:
        path: the file; an existing one is replaced.
        records: `[n]` games.
        contracts: `[n]`.
        metadata: as for `record.write`.

    Raises:
        InvalidRecords: if a contract is not that of its game.
        OSError: if it cannot be written.
    """
    validate(records, contracts)
    others = {name: np.asarray(getattr(contracts, name), np.int8) for name in FIELDS}
    record.write(path, records, metadata, others, value=contract.VALUE)


def read(path: Path) -> tuple[GameRecord, Contract, Metadata]:
    """Read and validate a file of games with contracts.

    Returns:
        The games and contracts as NumPy arrays `[n]`, and the file's metadata.

    Raises:
        InvalidRecords: as `record.read`; also for a file without contracts.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidRecords(f"{path}: not a readable record file: {error}") from None
    return from_bytes(data, str(path))


def write_any(path: Path, records: AnyRecord, metadata: Metadata) -> None:
    """Check games, with contracts or without, and write them as one file.

    Raises:
        InvalidRecords: if a game is not legal, or a contract is not that of its game.
        OSError: if it cannot be written.
    """
    plain, contracts = without_contract(records), contract_of(records)
    if contracts is None:
        record.validate(plain)
        record.write(path, plain, metadata)
    else:
        write(path, plain, contracts, metadata)


def read_any(path: Path) -> tuple[AnyRecord, Metadata]:
    """Read and validate games, with their contracts if the file has any.

    Raises:
        InvalidRecords: as `record.read`.
    """
    if not has_contracts(path):
        return record.read(path)
    records, contracts, metadata = read(path)
    return joined(records, contracts), metadata


def from_bytes(data: bytes, name: str) -> tuple[GameRecord, Contract, Metadata]:
    """Read and validate the bytes of a file of games with contracts.

    Args:
        data: the whole file.
        name: the file's name, for messages.

    Raises:
        InvalidRecords: as `read`; no other exception, whatever the bytes are.
    """
    records, metadata, others = record.unpack(data, name, FIELDS)
    contracts = Contract(declaration=records.declaration, **others)
    try:
        validate(records, contracts)
    except InvalidRecords as error:
        raise InvalidRecords(f"{name}: {error}") from None
    return records, contracts, metadata


def positions(path: Path) -> list[Position]:
    """Read the games of a record file, with contracts or without.

    A hand of a table also gets what the file's metadata tells, see `table.saving`: the names of the
    players and the round of bids. It ends when its contract is made or set; its record goes on
    with plays that nobody has made, which are left out.

    Raises:
        InvalidRecords: as `record.read`; also for metadata of a table that are wrong.
    """
    if not has_contracts(path):
        records, metadata = record.read(path)
        games = position_arrays.of_record(records)
    else:
        records, contracts, metadata = read(path)
        games = position_arrays.of_record(records, position_arrays.bids(contracts))
    if metadata.source != record.TABLE:
        return games
    try:
        return [_as_played(game, metadata.search) for game in games]
    except ValueError as error:
        raise InvalidRecords(f"{path}: metadata: {error}") from None


def _as_played(game: Position, facts: dict[str, Any]) -> Position:
    """A hand as the metadata of its file tell it; what they do not tell stays unknown."""
    names, played = facts.get("players"), facts.get("played")
    dealer, calls, marks = (facts.get(name) for name in ("dealer", "calls", "marks"))
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        game = dataclasses.replace(game, players=tuple(names))
    if type(dealer) is int and isinstance(calls, list):
        if marks is not None and not isinstance(marks, list):
            raise ValueError(f"marks: expected {bidding.MARKS_EXPECTED}")
        before = None if marks is None else tuple(marks)
        auction = Auction(dealer, tuple(map(str, calls)), before)
        game = dataclasses.replace(game, auction=auction)
        bidding.check_auction(game)
    return game.before(played) if type(played) is int and 0 <= played < N_PLIES else game


def has_contracts(path: Path) -> bool:
    """True for a file of games with contracts; False for any other, also if it cannot be read."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return FIELDS[0] in file.keys()  # noqa: SIM118  it is no mapping
    except (safetensors.SafetensorError, OSError):
        return False  # `record.read` says what is wrong
