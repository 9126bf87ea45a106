"""Pickles that hold more than weights: the rest is described, and nothing is called or built."""

import argparse
import datetime
import os
import pickle
from collections import OrderedDict, deque

import pytest

from zebjax.torch_compat.pickle import TorchFileError
from zebjax.torch_compat.tolerant import Foreign, load_around


def load(value):
    return load_around(pickle.dumps(value, protocol=2), ())


def test_plain_data_is_as_it_was():
    plain = {"a": [1, 2.5, None, True], "b": ("x", {"c": -(2**40)}), 3: "three"}
    assert load(plain) == plain


def test_an_object_is_described_by_its_type_its_arguments_and_its_state():
    tree = load({"when": datetime.timedelta(3), "options": argparse.Namespace(lr=0.5), "n": 1})
    assert tree["when"] == Foreign("datetime.timedelta", (3, 0, 0))
    assert tree["n"] == 1
    assert tree["options"] == Foreign("argparse.Namespace", (), {"lr": 0.5})


def test_a_kind_of_dictionary_keeps_its_items_and_a_kind_of_list_does_not():
    items = load(OrderedDict(a=1, b=2))
    assert isinstance(items, Foreign) and items.items == {"a": 1, "b": 2}
    kind_of_list = load(deque([7]))
    assert isinstance(kind_of_list, Foreign) and kind_of_list.name == "collections.deque"
    assert kind_of_list.items == {} and kind_of_list.arguments == ()


def test_nothing_in_a_pickle_is_called(tmp_path):
    proof = tmp_path / "proof"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {proof}",)

    assert load([Hostile()]) == [Foreign("posix.system", (f"touch {proof}",))]
    assert not proof.exists()


def test_large_integers_and_odd_keys_do_not_stop_it():
    assert load([2**63 - 1, 2**80, 2**3000]) == [
        2**63 - 1,
        Foreign("a large integer"),
        Foreign("a large integer"),
    ]
    assert load({(1, 2): "left out", 2.5: "left out", "kept": 1}) == {"kept": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02R.", "takes a value where there is none"),
        (b"\x80\x02K\x01)R.", "calls something that is not a name"),
        (b"\x80\x02}}b.", "sets attributes of plain data"),
        (b"\x80\x02}K\x01a.", "treats something as a list that is none"),
        (b"\x80\x02cposix\nsystem\n)R(K\x01u.", "a key without a value"),
    ],
)
def test_a_damaged_pickle_is_one_kind_of_error(data, message):
    with pytest.raises(TorchFileError, match=message):
        load_around(data, ())


def test_every_cut_of_a_pickle_is_refused():
    whole = pickle.dumps({"a": [datetime.timedelta(3), OrderedDict(b=1)], "c": 2**80}, protocol=2)
    for end in range(len(whole)):
        with pytest.raises(TorchFileError):
            load_around(whole[:end], ())
