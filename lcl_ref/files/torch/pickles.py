"""The pickled part of a PyTorch file, read as data: containers, tensors, and everything else as the name of its class.

`pickle` is never used: its opcodes are gone through here, of which none can import or call anything. What a file wants
called becomes a `Foreign`, but for the few names that stand for tensors and their storages.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

MOST_OPCODES = 5_000_000


@dataclass(frozen=True)
class Storage:
    """Numbers in a row: ``count`` of type ``kind`` (a name of torch), under a key of the file."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class TensorEntry:
    """A tensor: a view of a storage, sizes in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class Foreign:
    """Something that only code could make, by the name of that code."""

    name: str


@dataclass(frozen=True)
class _Name:
    """A class or function that a file names."""

    name: str


class _Mark:
    """The sign on the stack where a group of values begins."""


def read(file: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """Return the value of the pickle that begins here, and its storages by key; the file then stands behind it.

    Raises
    ------
    ValueError
        If it is damaged, too long, or no pickle of plain data.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > MOST_OPCODES:
            raise ValueError(f"more than {MOST_OPCODES} steps in a pickle")
        step = _STEPS.get(opcode.name)
        if step is None:
            raise ValueError(f"opcode {opcode.name}, which no file of tensors has")
        step(machine, argument)
    return machine.stack[-1], machine.storages


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def group(self) -> list[Any]:
        """Take the values down to the last mark."""
        place = max(index for index, value in enumerate(self.stack) if value is _Mark)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def replace(self, _taken: list[Any], value: Any) -> None:
        """Put a value where others were taken."""
        self.stack.append(value)

    def take(self, count: int) -> list[Any]:
        """Take so many values from the stack."""
        if not 0 < count <= len(self.stack):
            raise ValueError("a pickle that takes more than it has")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def remember(self, place: int | None) -> None:
        """Keep the last value under a number."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def call(self) -> None:
        """Make what a name and arguments stand for."""
        named, arguments = self.take(2)
        name = named.name if isinstance(named, _Name) else "an object"
        self.push(_made(name, arguments if isinstance(arguments, tuple) else ()))

    def set_items(self, pairs: list[Any]) -> None:
        """Put pairs into the dictionary on the stack; a foreign object takes them without effect."""
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

    def append(self, values: list[Any]) -> None:
        """Put values at the end of the list on the stack."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def name_from_stack(self) -> None:
        """Make a name of its two parts."""
        module, name = self.take(2)
        self.push(_Name(f"{module}.{name}"))

    def storage(self) -> None:
        """Make a storage of what stands for it."""
        _, named, key, _, count, *view = self.take(1)[0]
        if view and view[0] is not None:
            raise ValueError("a storage that is part of another")
        kind = named.name if isinstance(named, _Name) else "?"
        self.storages[str(key)] = Storage(_storage_kind(kind), str(key), int(count))
        self.push(self.storages[str(key)])


def _storage_kind(name: str) -> str:
    """Return the type of a storage's elements: ``float`` of ``torch.FloatStorage``."""
    bare = name.rpartition(".")[2].removesuffix("Storage").lower()
    return {"untyped": "byte"}.get(bare, bare)


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return a container or tensor, or what stands for anything else."""
    if name == "collections.OrderedDict":
        return dict(arguments[0]) if arguments else {}
    if name == "torch._tensor._rebuild_from_type_v2" and isinstance(arguments[0], _Name):
        return _made(arguments[0].name, arguments[2])
    maker = _MAKERS.get(name.removeprefix("torch._utils."))
    return Foreign(name) if maker is None else maker(*arguments)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> TensorEntry:
    kind = more[2].name.rpartition(".")[2] if len(more) > 2 and isinstance(more[2], _Name) else ""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")  # noqa: TRY004  all that is wrong with a file is one error
    sizes = [offset, *shape, *stride]
    if len(shape) != len(stride) or any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError(f"a tensor of shape {tuple(shape)!r}, stride {tuple(stride)!r}")
    return TensorEntry(storage, offset, tuple(shape), tuple(stride), kind or storage.kind)


_MAKERS: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor,
    "_rebuild_parameter": lambda tensor, *_: tensor,
    "_rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch.Size": tuple,
}
"""What stands for a tensor, by the function of torch that makes it: no more than data goes in, or comes out."""


def _one_key(machine: _Machine, _argument: Any) -> None:
    machine.set_items(machine.take(2))


def _new_object(machine: _Machine) -> None:
    machine.replace(machine.take(2), ())
    machine.call()


def _build(machine: _Machine, _argument: Any) -> None:
    machine.take(1)  # the state of an object, or the metadata of a state_dict


def _get(machine: _Machine, place: int) -> None:
    machine.push(machine.memo[place])


Step = Callable[[_Machine, Any], object]

_VALUES = (
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING"),
    *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
"""Opcodes whose argument is the value."""

_STEPS: dict[str, Step] = dict.fromkeys(_VALUES, _Machine.push)
_STEPS |= dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _argument: None)
_STEPS |= dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), _get)
_STEPS |= dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"), _Machine.remember)
_STEPS |= dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine.call())
_STEPS |= {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(_Mark),
    "POP": lambda machine, _: machine.take(1),
    "POP_MARK": lambda machine, _: machine.group(),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_SET": lambda machine, _: machine.push(Foreign("set")),
    "ADDITEMS": lambda machine, _: machine.group(),
    "FROZENSET": lambda machine, _: machine.replace(machine.group(), Foreign("frozenset")),
    "DICT": lambda machine, _: _pairs(machine),
    "LIST": lambda machine, _: machine.push(machine.group()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.group())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.take(3))),
    "SETITEM": _one_key,
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.group()),
    "GLOBAL": lambda machine, name: machine.push(_Name(name.replace(" ", "."))),
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "NEWOBJ_EX": lambda machine, _: _new_object(machine),
    "BINPERSID": lambda machine, _: machine.storage(),
    "BUILD": _build,
}
"""What each opcode does; one that is not here is in no file of tensors."""


def _pairs(machine: _Machine) -> None:
    values = machine.group()
    machine.push(dict(zip(values[::2], values[1::2], strict=True)))
