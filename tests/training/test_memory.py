"""Memory is estimated before it is allocated; out of memory gives one sentence."""

import dataclasses

import jax
import pytest

from tests.support.tiny import TINY
from zebjax.common import jax_settings
from zebjax.training import learner, memory, replay, selfplay
from zebjax.training.config import ReplayConfig


def with_capacity(n):
    return dataclasses.replace(TINY, replay=ReplayConfig(capacity_examples=n))


def bytes_of(tree):
    def of(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return (jax.random.key_data(leaf) if is_key else leaf).nbytes

    return sum(map(of, jax.tree.leaves(tree)))


def test_the_exact_parts_are_exact():
    parts = {part.setting.split(" = ")[0]: part.n_bytes for part in memory.estimate(TINY)}
    ring = replay.init(TINY.replay.capacity_examples)
    assert parts["replay.capacity_examples"] == bytes_of(ring.records)
    from zebjax import network

    params = network.init(TINY.network, jax_settings.key(0))
    state = learner.init(TINY.learner, TINY.network, params, jax_settings.key(1))
    (of_network,) = [n for name, n in parts.items() if name.startswith("the network's")]
    assert of_network == bytes_of(state) + bytes_of(params)
    actor = selfplay.init(TINY.selfplay, jax_settings.key(2))
    assert parts["selfplay.lanes"] > bytes_of(actor)


def test_a_ring_that_does_not_fit_is_refused_before_it_is_made():
    with pytest.raises(memory.OutOfMemory) as caught:
        memory.check(with_capacity(2_000_000_000), "learner")
    text = str(caught.value)
    assert "replay.capacity_examples = 2,000,000,000 (" in text and "lower the first" in text
    assert text.index("replay.capacity") < text.index("learner.batch") and "\n" not in text
    memory.check(with_capacity(2_000_000_000), "selfplay")  # a worker has no ring


def test_more_examples_than_can_be_counted_are_refused():
    with pytest.raises(ValueError, match=r"replay\.capacity_examples: expected 28 .* to 2,147"):
        ReplayConfig(capacity_examples=20_000_000_000)


@pytest.mark.parametrize("field", ["lanes", "sims", "worlds"])
def test_lanes_need_more_with_more_of_everything(field):
    def needed(value):
        config = TINY.selfplay
        if field == "lanes":
            config = dataclasses.replace(config, lanes=value)
        else:
            search = dataclasses.replace(config.search, **{field: value})
            config = dataclasses.replace(config, search=search)
        return memory._lanes(dataclasses.replace(TINY, selfplay=config)).n_bytes

    assert needed(400) > 4 * needed(4)


def test_out_of_memory_of_every_kind_names_what_to_lower():
    """Real ones, of the device and of the host."""

    def device():
        jax.numpy.zeros((1 << 46,), jax.numpy.float32).block_until_ready()

    def host():
        return bytearray(1 << 60)

    for fails in (device, host):
        with (
            pytest.raises(memory.OutOfMemory, match=r"selfplay\.lanes = 8 with 2 simulations"),
            memory.guarded(TINY),
        ):
            fails()
    with pytest.raises(KeyError), memory.guarded(TINY):
        raise KeyError


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\nMemFree: 1 kB\n")
    assert memory.limit(tmp_path, tmp_path)[0] == 24_000_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.limit(tmp_path, tmp_path)[0] == 24_000_000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory.limit(tmp_path, tmp_path)[0] == 1_000_000


def test_half_of_the_memory_is_worth_a_note(monkeypatch):
    notes = []
    with memory.guarded(TINY, "all", notes.append):
        assert notes == []
    total = sum(part.n_bytes for part in memory.estimate(TINY))
    monkeypatch.setattr(memory, "limit", lambda: (int(1.5 * total), "this machine has"))
    with memory.guarded(TINY, "all", notes.append):
        assert len(notes) == 1 and "needs about" in notes[0]
