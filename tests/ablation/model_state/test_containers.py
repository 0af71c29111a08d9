"""Contents of containers and objects, restored in any nesting."""

import collections
import itertools
import queue
import types
from dataclasses import dataclass

import pytest
import torch

from captum_clustered._ablation.model_state.containers import Containers


class Slotted:
    __slots__ = ("later", "x")

    def __init__(self):
        self.x = [1]


@dataclass
class Record:
    items: list


class Loud(dict):
    """Does more than a dictionary when an item is set."""

    def __setitem__(self, key, value):
        raise AssertionError


def changed(change, value):
    containers = Containers()
    containers.add([value])
    change(value)
    containers.restore()
    return value


def set_later(value):
    value.later, value.x = 1, 2


CASES = {
    "list": ([1, 2], lambda v: v.append(3), [1, 2]),
    "order of a list": ([1, 2], lambda v: v.reverse(), [1, 2]),
    "deque": (
        collections.deque([1, 2], maxlen=2),
        lambda v: v.append(3),
        collections.deque([1, 2], maxlen=2),
    ),
    "defaultdict": (collections.defaultdict(list), lambda v: v["f"].append(1), {}),
    "dictionary of lists": ({"f": [1]}, lambda v: v["f"].append(2), {"f": [1]}),
    "set": ({1}, lambda v: v.add(2), {1}),
    "counter": (collections.Counter("ab"), lambda v: v.update("a"), {"a": 1, "b": 1}),
    "tuple of lists": (([1], [2]), lambda v: v[1].clear(), ([1], [2])),
    "namespace": (
        types.SimpleNamespace(f=[]),
        lambda v: (v.f.append(1), setattr(v, "g", 2)),
        types.SimpleNamespace(f=[]),
    ),
    "dataclass": (Record([{"a": [1]}]), lambda v: v.items[0]["a"].append(2), Record([{"a": [1]}])),
}


@pytest.mark.parametrize("case", CASES)
def test_contents_are_as_before(case):
    value, change, expected = CASES[case]
    assert changed(change, value) == expected


def test_an_ordered_dictionary_keeps_its_order():
    ordered = collections.OrderedDict(a=1, b=2)
    changed(lambda v: (v.move_to_end("a"), v.update(c=3)), ordered)
    assert list(ordered.items()) == [("a", 1), ("b", 2)]
    ordered.move_to_end("a")
    assert list(ordered) == ["b", "a"]


def test_slots_and_attributes_of_subclasses():
    slotted = changed(set_later, Slotted())
    assert slotted.x == [1]
    assert not hasattr(slotted, "later")
    loud = Loud(a=1)
    changed(lambda v: (v.update(a=2), setattr(v, "note", 1)), loud)
    assert loud == {"a": 1}
    assert not hasattr(loud, "note")


def test_a_queue_is_an_object_with_a_deque():
    waiting = changed(lambda v: v.put(1), queue.Queue())
    assert waiting.qsize() == 0


def test_cycles_end():
    value = {"list": [1]}
    value["list"].append(value)
    changed(lambda v: v.pop("list"), value)
    assert value["list"][1] is value


def test_what_has_not_changed_is_not_written():
    class Untouchable(list):
        pass

    tensors = Untouchable([torch.zeros(2)])
    containers = Containers()
    containers.add([(tensors,)])
    iterator = iter({"a": 1}.items())
    containers.restore()
    assert next(iterator) == ("a", 1)
    assert containers.unknown is None


@pytest.mark.parametrize(
    "value", [itertools.count(), queue.SimpleQueue(), iter([1]), (i for i in [1])]
)
def test_what_cannot_be_restored_is_found_in_any_nesting(value):
    containers = Containers()
    containers.add([{"a": [types.SimpleNamespace(b=value)]}])
    assert containers.unknown is type(value)


@pytest.mark.parametrize(
    "value", [torch.Generator(), torch.zeros(2).numpy(), print, "text", object(), Slotted()]
)
def test_ordinary_attributes_can_be_restored(value):
    containers = Containers()
    containers.add([value])
    assert containers.unknown is None
