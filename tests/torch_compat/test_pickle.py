"""Pickles: only plain data and tensors are read, and nothing is ever called."""

import io
import itertools
import os
import pickle
import pickletools
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from tests.support.torch_made import TORCH_MADE, Tensor, parse_pickle, parse_tree, save
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import pickle as torch_pickle
from zebjax.torch_compat import tolerant
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.pickle import Call, Name, TorchFileError
from zebjax.torch_compat.weights import WEIGHT_LIMITS


class _Caller:
    """Pickles, by the ordinary pickler, as a call of any function."""

    def __init__(self, function, *arguments):
        self.reduction = function, arguments

    def __reduce__(self):
        return self.reduction


@pytest.mark.parametrize("place", ["alone", "in a dictionary", "as dropped attributes"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (eval, "__builtin__.eval"),
        (__import__, "__builtin__.__import__"),
    ],
)
def test_other_callables_are_refused(tmp_path, function, name, place):
    proof = tmp_path / "proof"
    argument = (
        f"touch {proof}"
        if function is os.system
        else f"__import__('pathlib').Path({str(proof)!r}).touch()"
    )
    hostile = {
        "alone": lambda call: call,
        "in a dictionary": lambda call: {"weight": [1, call]},
        "as dropped attributes": lambda call: _with_attributes(call),
    }[place](_Caller(function, argument))
    raw = pickle.dumps(hostile, protocol=2)
    with pytest.raises(TorchFileError, match=f"some.pt: its pickle asks for '{name}'.*refused"):
        parse_pickle(raw)
    assert not proof.exists()


def _with_attributes(value):
    result = OrderedDict(a=1)
    result._metadata = value
    return result


@pytest.mark.parametrize(
    "name",
    [
        "torch.storage._load_from_bytes",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_tensor_v2.__globals__",
        "torch.storage.UntypedStorage",
        "collections.OrderedDict.__init__",
        "numpy.core.multiarray._reconstruct",
        "zebjax.torch_compat.archive.write",
    ],
)
def test_names_near_the_allowed_ones_are_refused(name):
    module, _, attribute = name.rpartition(".")
    with pytest.raises(TorchFileError, match="its pickle asks for"):
        parse_tree({"a": Call(Name(module, attribute), (b"".decode(),))})


ORDERED = b"ccollections\nOrderedDict\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"N", "ends too early"),
        (b"", "ends too early"),
        (b"NN.", "other than one value"),
        (b"(N.", "other than one value"),
        (b".", "other than one value"),
        (b"N.N", "bytes after its end"),
        (b"0.", "opcode b'0'"),
        (b"\x93.", "opcode"),  # STACK_GLOBAL
        (b"iposix\nsystem\n.", "opcode b'i'"),  # INST
        (b"(cposix\nsystem\no.", "asks for 'posix.system'"),  # OBJ
        (b"\x82\x01.", "opcode"),  # an extension code
        (b"I1\n.", "opcode b'I'"),
        (b"R.", "takes a value where there is none"),
        (b"NNR.", "calls something that is not a name"),
        (ORDERED + b"NR.", "calls something that is not a name"),
        (ORDERED + b"(NtR.", "OrderedDict with arguments"),
        (ORDERED + b")RNb.", "state that is not a dictionary"),
        (ORDERED + b"}b.", "treats something as a OrderedDict"),  # attributes of a name: never
        (ORDERED + b".", "neither plain data nor a tensor"),
        (b"}}b.", "treats something as a OrderedDict"),
        (b"}NNs.", "key of type NoneType"),
        (b"}\x88Ns.", "key of type bool"),
        (b"})Ns.", "key of type tuple"),
        (b"}(Nu.", "key without a value"),
        (b"}(K\x01NK\x01Nu.", "key 1 twice"),
        (b"u.", "mark where there is none"),
        (b"]}e.", "mark where there is none"),
        (b"]NNs.", "treats something as a dict"),
        (b"}Na.", "treats something as a list"),
        (b"h\x05.", "recalls value 5"),
        (b"q\x00.", "treats something as a object"),
        (b"Nr\xff\xff\xff\xff0.", "opcode b'0'"),  # a memo index of 2**32 - 1 takes no memory
        (b"X\xff\xff\xff\x7fa.", "ends too early"),
        (b"X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"\x8a\x09123456789.", "more than 64 bits"),
        (b"\x8a\xff1.", "more than 64 bits"),
        (b"cno newline", "ends too early"),
        (b"NQ.", "neither plain data nor a tensor"),
        (b"]q\x00h\x00a.", "nested deeper"),  # a list that contains itself
        (b")\x85" * 1000 + b".", "other than one value"),
        (b")" + b"\x85" * 300_000 + b".", "nested deeper"),
        (
            b"]q\x00"
            + b"".join(b"](" + b"h%c" % n * 9 + b"eq%c" % (n + 1) for n in range(20))
            + b"\x86" * 20
            + b".",
            "more",
        ),
    ],
)
def test_malformed_pickles(body, message):
    with pytest.raises(TorchFileError, match=message):
        parse_pickle(b"\x80\x02" + body)


def test_other_protocols_are_refused():
    for protocol in (0, 1, 3, 4, 5):
        with pytest.raises(TorchFileError, match="protocol 2"):
            parse_pickle(pickle.dumps({"a": 1}, protocol=protocol))


def test_mutated_pickles_never_raise_anything_else():
    """With right checksums, so that the pickle itself is what must hold."""
    with zipfile.ZipFile(TORCH_MADE) as archive:
        entries = [
            (info.filename.partition("/")[2], archive.read(info)) for info in archive.infolist()
        ]
    contents = {name: content for name, content in entries if name != "data.pkl"}
    original = dict(entries)["data.pkl"]
    rng = np.random.default_rng(1)
    interesting = np.frombuffer(
        b"(.]})tuseabRQcqhrjXKJMGN\x85\x86\x87\x88\x89\x8a\x00\xff\n", np.uint8
    )
    accepted = 0
    for trial in range(3000):
        mutated = bytearray(original)
        for _ in range(1 + trial % 3):
            kind, where = rng.integers(4), int(rng.integers(len(mutated)))
            if kind == 0:
                mutated[where] = rng.integers(256)
            elif kind == 1:
                mutated[where] = rng.choice(interesting)
            elif kind == 2:
                del mutated[where : where + int(rng.integers(1, 9))]
            else:
                mutated[where:where] = mutated[int(rng.integers(len(mutated))) :][
                    : int(rng.integers(1, 40))
                ]
        try:
            tree = torch_pickle.load(bytes(mutated), torch_archive._ALLOWED)
            value = torch_archive._Resolver(contents, Limits()).resolve(tree)
        except TorchFileError:
            continue
        accepted += 1
        assert_plain(value)
    assert accepted > 100


def assert_plain(value):
    if isinstance(value, np.ndarray):
        value.copy()  # touches every element: a view that leaves its buffer would crash
    elif isinstance(value, dict):
        assert type(value) is dict
        for item in itertools.chain(value.keys(), value.values()):
            assert_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or type(value) in (str, int, float, bool)


def test_a_buffer_of_50000_examples_is_within_the_limits():
    shapes = {
        "observations": (36, 8),
        "masks": (36,),
        "hand_indices": (7,),
        "hand_masks": (7,),
        "policy_targets": (7,),
        "value_targets": (),
        "belief_targets": (28,),
        "belief_mask": (28,),
    }

    def example():
        return {name: Tensor(np.zeros(shape, np.int64)) for name, shape in shapes.items()}

    sizes, steps = [], []
    for n in (100, 300):  # the difference is what an example takes
        with zipfile.ZipFile(io.BytesIO(save([example() for _ in range(n)]))) as archive:
            raw = archive.read("archive/data.pkl")
        sizes.append(len(raw))
        steps.append(sum(1 for _ in pickletools.genops(raw)))
    assert 250 * (sizes[1] - sizes[0]) < WEIGHT_LIMITS.pickle_bytes
    assert 11_000_000 < 250 * (steps[1] - steps[0]) < torch_pickle._MAX_STEPS


@pytest.mark.parametrize(
    ("piece", "n_steps"),
    [
        (b"}", 1),
        (b"]", 1),
        (b"(", 1),
        (b"N\x85", 2),
        (b"h\x00)R", 3),
        (b"h\x01)R", 3),
        (b"}K\x00Ns", 4),
        (b"]Na", 3),
    ],
)
def test_the_most_steps_take_less_than_a_gigabyte(piece, n_steps):
    """Whatever they make: 20,000 pieces are measured, and no more read than the steps allow."""
    start = b"\x80\x02cx\ny\nq\x00ccollections\nOrderedDict\nq\x01"
    raw = start + piece * 20_000 + b"."
    tracemalloc.start()
    try:
        with pytest.raises(TorchFileError, match="ends with something other than one value"):
            tolerant.load_around(raw, torch_archive._ALLOWED)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / (20_000 * n_steps) * torch_pickle._MAX_STEPS < 1 << 30
