"""Pickle's stack machine without its power to call code: it builds plain values, and placeholders for the rest.

Python's own unpickler imports what a file names and calls it. This one knows a few names, given by its caller; any
other becomes a :class:`Refused`, which takes what the file does to it and does nothing. Opcodes and the layout of
their arguments are those that :mod:`pickletools` documents.
"""

from __future__ import annotations

import codecs
import collections
import pickletools
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["PLAIN", "Builders", "Contents", "Machine", "MalformedError", "Refused", "Stream", "open_file"]

_MOST_OPCODES = 5_000_000  # a batch of 128,000 labels has 130,000, a network of 1,000 tensors 50,000
_DEEPEST = 100  # containers inside each other
_MOST_NAMES, _LONGEST_NAME = 100, 100  # of what was refused: names, and characters of one


class MalformedError(ValueError):
    """What is read is no pickle, or none that this package reads; callers add the name of the file."""


class Refused:
    """Stands for an object that was not built.

    Attributes:
        name: what the file calls it, ``module.name``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<refused {self.name}>"


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        value: tensors, arrays and plain values in plain containers, with a :class:`Refused` for anything else.
        refused: names of what was not built, each once.
    """

    value: Any
    refused: list[str]


Builders = Mapping[tuple[str, str], Callable[..., Any]]
"""What a pickle may call: a function for each (module, name). It raises for arguments that do not fit."""


def open_file(path: Path) -> IO[bytes]:
    """A plain file, to be read. Raises MalformedError for a folder, a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise MalformedError("it is no file")
    return path.open("rb")


class Stream:
    """A binary file that never reads, nor allocates, past its end.

    Args:
        file: at its start.
        size: bytes in it.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.left = file, size

    def read(self, count: int) -> bytes:
        """At most so many bytes."""
        data = self._file.read(min(count, self.left))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        """Up to the next line break, with it."""
        data = self._file.readline(self.left)
        self.left -= len(data)
        return data


class Machine:
    """Reads the pickles of one file.

    Args:
        stream: the file.
        builders: what may be built.
        persistent: gives the object that a persistent id stands for.
        set_state: gives an object the state that the pickle has for it; by default states are left out.
    """

    def __init__(
        self,
        stream: Stream,
        builders: Builders,
        persistent: Callable[[Any], Any] | None = None,
        set_state: Callable[[Any, Any], None] | None = None,
    ) -> None:
        self._stream, self._builders = stream, builders
        self._persistent, self._set_state = persistent, set_state
        self._refused: dict[str, None] = {}
        self._left = _MOST_OPCODES

    @property
    def refused(self) -> list[str]:
        """Names of what was not built so far."""
        return list(self._refused)

    def load(self) -> Any:
        """The next pickle's value.

        Raises:
            MalformedError: no pickle, or one that is too large or nested too deeply.
            Exception: whatever a builder raises, and what decoding of garbage gives.
        """
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the marks
        self._memo: dict[int, Any] = {}
        while True:
            if self._left <= 0:
                raise MalformedError(f"it has more than {_MOST_OPCODES:,} opcodes")
            self._left -= 1
            opcode = _OPCODES.get(self._stream.read(1).decode("latin-1"))
            if opcode is None:
                raise MalformedError("it is no pickle, or it is torn")
            name = opcode.name
            if name == "STOP":
                value = self._pop()
                _check_nesting(value)
                return value
            if name == "STRING":
                argument = _text(self._stream.readline())
            else:
                argument = None if opcode.arg is None else opcode.arg.reader(self._stream)  # type: ignore[arg-type]
            if name in _CONSTANTS:
                self._push(_CONSTANTS[name])
            elif name in _VALUES:
                self._push(argument)
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            else:
                raise MalformedError(f"its opcode {name} is not read")

    def refuse(self, name: str) -> Refused:
        """A placeholder for the object of this name, which is added to the refused ones."""
        name = name[:_LONGEST_NAME]
        name = name if name.isprintable() else ascii(name)
        if len(self._refused) < _MOST_NAMES:
            self._refused[name] = None
        return Refused(name)

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise MalformedError("its stack is empty where a value is needed")
        return self._stack.pop()

    def _pop_mark(self) -> list[Any]:
        if not self._below:
            raise MalformedError("it has no mark where one is needed")
        items, self._stack = self._stack, self._below.pop()
        return items

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _top(self) -> Any:
        if not self._stack:
            raise MalformedError("its stack is empty where a value is needed")
        return self._stack[-1]

    # ---- memo

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise MalformedError(f"it takes object {index} from its memo, where none is")
        self._push(self._memo[index])

    # ---- containers

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(item for item in items if self._is_key(item))
        elif not isinstance(target, Refused):
            raise MalformedError(f"it appends to a {type(target).__name__}")

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, dict):
            if len(items) % 2:
                raise MalformedError("a dictionary has a key without a value")
            target.update((key, items[i + 1]) for i, key in enumerate(items) if i % 2 == 0 and self._is_key(key))
        elif not isinstance(target, Refused):
            raise MalformedError(f"it sets items of a {type(target).__name__}")

    def _is_key(self, key: Any) -> bool:
        """Whether a dictionary or a set takes it; a key that is no plain value is left out and listed as refused."""
        # hashing a tuple that is nested a million times deep overflows the interpreter's own stack
        if isinstance(key, _KEYS) or (isinstance(key, tuple) and all(isinstance(k, _KEYS) for k in key)):
            return True
        self.refuse(f"a key of type {type(key).__name__}")
        return False

    # ---- everything else

    def _global(self, module: str, name: str) -> None:
        build = self._builders.get((module, name))
        self._push(self.refuse(f"{module}.{name}") if build is None else _Known(f"{module}.{name}", build))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise MalformedError("it names something by what is no text")
        self._global(module, name)

    def _call(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        if not isinstance(function, Refused) or not isinstance(arguments, tuple):
            raise MalformedError(f"it calls a {type(function).__name__}")
        if not isinstance(function, _Known):
            self._push(Refused(function.name))
        elif keywords:
            self._push(self.refuse(function.name))
        else:
            built = function.build(*arguments)
            self._push(self.refuse(function.name) if built is NotImplemented else built)

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _new_with_keywords(self, _: Any) -> None:
        keywords, arguments, cls = self._pop(), self._pop(), self._pop()
        self._call(cls, arguments, keywords)

    def _instance(self, name: str) -> None:
        arguments = self._pop_mark()
        self._global(*name.split(" ", 1))
        self._call(self._pop(), tuple(arguments))

    def _object(self, _: Any) -> None:
        cls, *arguments = self._pop_mark()
        self._call(cls, tuple(arguments))

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if self._set_state is not None:
            self._set_state(target, state)

    def _persistent_id(self, identity: Any) -> None:
        if self._persistent is None:
            raise MalformedError("it refers to something outside it")
        self._push(self._persistent(identity))


class _Known(Refused):
    """A name that the machine may call. As a value of its own it is as inert as its base."""

    def __init__(self, name: str, build: Callable[..., Any]) -> None:
        super().__init__(name)
        self.build = build


def _text(line: bytes) -> str:
    """The argument of opcode STRING, Python 2's text: a literal in quotes, its bytes taken as Latin-1."""
    line = line.strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise MalformedError("a text is not in quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]


def _check_nesting(value: Any) -> None:
    """Refuse containers that hold themselves, or are nested so deeply that a recursion over them would fail."""
    heights: dict[int, int] = {}
    path: set[int] = set()
    todo = [(value, False)]
    while todo:
        item, done = todo.pop()
        children = _children(item)
        if done:
            path.discard(id(item))
            heights[id(item)] = 1 + max((heights.get(id(c), 0) for c in children), default=0)
            if heights[id(item)] > _DEEPEST:
                raise MalformedError(f"its containers are nested more than {_DEEPEST} deep")
        elif id(item) in path:
            raise MalformedError("a container holds itself")
        elif children and id(item) not in heights:
            path.add(id(item))
            todo.append((item, True))
            todo.extend((c, False) for c in children if isinstance(c, _CONTAINERS))


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return list(item) if isinstance(item, _CONTAINERS) else []


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_KEYS = (str, bytes, int, float, complex, type(None), Refused)
_CONTAINERS = (dict, list, tuple, set, frozenset)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def _tuple_of(count: int) -> Callable[[Machine, Any], None]:
    def action(m: Machine, _: Any) -> None:
        items = [m._pop() for _ in range(count)]
        m._push(tuple(reversed(items)))

    return action


def _dictionary(m: Machine, _: Any) -> None:
    items = m._pop_mark()
    m._push({})
    m._set_items(items)


def _set_item(m: Machine, _: Any) -> None:
    value, key = m._pop(), m._pop()
    m._set_items([key, value])


def _pop_one(m: Machine, _: Any) -> None:
    if m._stack:
        m._stack.pop()
    else:
        m._pop_mark()


_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "MARK": Machine._mark,
    "POP": _pop_one,
    "POP_MARK": lambda m, _: m._pop_mark().clear(),
    "DUP": lambda m, _: m._push(m._top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "MEMOIZE": lambda m, _: m._put(len(m._memo)),
    "EMPTY_LIST": lambda m, _: m._push([]),
    "EMPTY_DICT": lambda m, _: m._push({}),
    "EMPTY_SET": lambda m, _: m._push(set()),
    "LIST": lambda m, _: m._push(m._pop_mark()),
    "TUPLE": lambda m, _: m._push(tuple(m._pop_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "FROZENSET": lambda m, _: m._push(frozenset(i for i in m._pop_mark() if m._is_key(i))),
    "DICT": _dictionary,
    "APPEND": lambda m, _: m._extend([m._pop()]),
    "APPENDS": lambda m, _: m._extend(m._pop_mark()),
    "ADDITEMS": lambda m, _: m._extend(m._pop_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda m, _: m._set_items(m._pop_mark()),
    "GLOBAL": lambda m, name: m._global(*name.split(" ", 1)),
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda m, code: m._push(m.refuse(f"extension {code}"))),
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._reduce,
    "NEWOBJ_EX": Machine._new_with_keywords,
    "INST": Machine._instance,
    "OBJ": Machine._object,
    "BUILD": Machine._build,
    "PERSID": Machine._persistent_id,
    "BINPERSID": lambda m, _: m._persistent_id(m._pop()),
}


def _ordered(items: Any = ()) -> dict[Any, Any]:
    """An OrderedDict's content, of the pairs that protocols below 2 have among its arguments."""
    if not isinstance(items, list) and items != ():
        raise MalformedError("an OrderedDict is not made of pairs")
    pairs = [tuple(pair) for pair in items if isinstance(pair, (list, tuple))]
    if any(len(pair) != 2 or not isinstance(pair[0], _KEYS) for pair in pairs):
        raise MalformedError("an OrderedDict is not made of pairs")
    return dict(pairs)


def _collection(kind: type) -> Callable[..., Any]:
    def build(items: Any = ()) -> Any:
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, _KEYS) for item in items):
            return NotImplemented
        return kind(items)

    return build


def _encoded(text: str, encoding: str) -> bytes:
    """How protocols below 3 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise MalformedError("bytes are not written as Latin-1")
    return text.encode("latin-1")


PLAIN: Builders = {
    (collections.__name__, "OrderedDict"): _ordered,
    (collections.__name__, "defaultdict"): lambda factory=None: {},
    ("_codecs", "encode"): _encoded,
    **{
        (module, kind.__name__): _collection(kind)
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset)
    },
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},
}
"""The plain values that a pickle spells as calls."""
