"""Reads pickles that hold NumPy arrays and nothing else, without running what is in them.

A pickle is a program: whoever loads one runs what its author wrote. The unpickler here imports
nothing and calls nothing of NumPy's. For the few names that pickled arrays mention it has
stand-ins, which collect bytes; for any other name it refuses the file. It knows only the
instructions that such files use, and none of them takes more time or memory than the bytes that it
stands for.
"""

import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np


class Refused(Exception):
    """A pickle that asks for more than arrays."""


def load(path: Path) -> Any:
    """What a pickle holds, with `PickledArray` for arrays and `PickledDict` for dicts.

    Raises:
        Refused: when it asks for anything but arrays; the message says for what.
        ValueError: when it is cut off or no pickle; the message says how it fails.
    """
    with path.open("rb") as file:
        try:
            return _Unpickler(_WholeFile(file, path.stat().st_size)).load()
        except Refused:
            raise
        except Exception as error:  # there are as many kinds of damage as instructions
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{type(error).__name__}: {reason}") from None


def described(value: Any) -> str:
    """A value of `load` in a few words: plain ones as they are, of all others the type."""
    if isinstance(value, tuple) and len(value) == 2:
        pair = ["a tuple" if isinstance(each, tuple) else described(each) for each in value]
        return f"({', '.join(pair)})"
    if isinstance(value, bytes | str):
        return repr(as_text(value[:40]))
    if isinstance(value, int) and abs(value) > 10**12:  # Python refuses to write very long ones
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, PickledArray):
        return "an array"
    if isinstance(value, PickledDict):
        return "a dict" if value else "an empty dict"
    return f"an object of type {type(value).__name__}"


def as_text(value: str | bytes) -> str:
    """Text that Python 2 may have written as bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class _PickledType:
    """Stands in for numpy.dtype: a kind of number, of whose state only the byte order counts."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        if as_text(code) not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8"):
            raise Refused(f"an array of type {described(code)}")
        self.dtype = np.dtype(as_text(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = as_text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise Refused(f"the byte order {described(order)}")
        self.dtype = self.dtype.newbyteorder(order)


class PickledArray:
    """Stands in for numpy.ndarray and for the function that makes an empty one, filled later."""

    array: np.ndarray | None = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, payload = state
        order: Literal["F", "C"] = "F" if is_fortran else "C"
        self.array = np.frombuffer(payload, kind.dtype).reshape(shape, order=order)


class _PickledScalar(int):
    """Stands in for the function that makes a NumPy scalar, of which an SNR may be one."""

    def __new__(cls, kind: _PickledType, payload: bytes) -> "_PickledScalar":
        (value,) = np.frombuffer(payload, kind.dtype)
        if value != int(value):
            raise Refused(f"the number {value} instead of a whole one")
        return super().__new__(cls, value)


class _PickledBytes(bytes):
    """Stands in for _codecs.encode, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, encoding: str) -> "_PickledBytes":
        if as_text(encoding) != "latin1":
            raise Refused(f"the encoding {described(encoding)}")
        return super().__new__(cls, text, "latin1")


class PickledDict(list[tuple[Any, Any]]):
    """Stands in for dict: (key, value) as they come.

    No key is hashed, which can take forever, and none replaces another.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        self.append((key, value))


ADMITTED: dict[str, type] = {
    "numpy.ndarray": PickledArray,
    "numpy.dtype": _PickledType,
    "numpy.core.multiarray._reconstruct": PickledArray,
    "numpy._core.multiarray._reconstruct": PickledArray,
    "numpy.core.multiarray.scalar": _PickledScalar,
    "numpy._core.multiarray.scalar": _PickledScalar,
    "_codecs.encode": _PickledBytes,
}
"""What a pickled array names, and what stands in for it."""

PLAIN = """
    PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    GLOBAL STACK_GLOBAL GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE SETITEM SETITEMS"""
"""Instructions that do what they do in any pickle.

They work on the bytes that follow them, or on the top of the stack.
"""
TUPLES = "EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE"
WIDTH = 16
"""Most things in a tuple; the state of a dtype has 8."""

_BY_CODE = {op.code: op for op in pickletools.opcodes}
_PythonUnpickler: Any = pickle._Unpickler
"""Whose parts the type checker's stubs leave out."""

Instruction = Callable[["_Unpickler"], None]


class _Instructions(dict[int, Instruction]):
    """Instructions by their codes; any other code raises."""

    def __missing__(self, code: int) -> Instruction:
        known = _BY_CODE.get(chr(code))
        if known is None:
            raise pickle.UnpicklingError(f"there is no instruction {chr(code)!r}")
        raise Refused(f"the instruction {known.name}")


def _loads(names: str) -> dict[int, Instruction]:
    """What Python does for these instructions, by their codes."""
    codes = [getattr(pickle, name)[0] for name in names.split()]
    return {code: _PythonUnpickler.dispatch[code] for code in codes}


def _checked(load: Instruction) -> Instruction:
    """Makes a tuple that holds at most `WIDTH` things, among them tuples but none that holds one.

    The state of an array has its shape. Tuples of tuples take no more bytes than there are levels,
    and yet have more ends than anybody can count, or than the stack can follow.
    """

    def loaded(unpickler: "_Unpickler") -> None:
        load(unpickler)
        made = unpickler.stack[-1]
        if len(made) > WIDTH:
            raise Refused(f"a tuple of {len(made)} things")
        inner_tuples = [each for each in made if isinstance(each, tuple)]
        if any(isinstance(each, tuple) for inner in inner_tuples for each in inner):
            raise Refused("tuples in tuples in tuples")

    return loaded


class _WholeFile:
    """A file of `size` bytes that gives all that is asked for or fails.

    It never makes room for more than it holds.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size

    def read(self, n: int) -> bytes:
        data = self.file.read(min(n, self.size))
        if len(data) < n:
            raise EOFError("it ends too early")
        return data

    def readline(self) -> bytes:
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it ends within a line")
        return line


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """The unpickler in Python, with stand-ins and only some instructions.

    It is slower by the instruction, of which an array takes some fifty however long it is. Of the
    one in C, no instruction can be replaced, and its memo is a list as long as the largest index
    that a file writes into it. Reading ahead with `pickletools.genops` is no way either: it takes
    the text of Python 2 for ASCII and fails on arrays.
    """

    def __init__(self, file: _WholeFile) -> None:
        # Python 2 had one type for text and bytes. As bytes, arrays need no copy of what was read.
        super().__init__(file, encoding="bytes")
        self.encodable = file.size

    def find_class(self, module: str, name: str) -> type:
        full_name = f"{module}.{name}"
        if full_name not in ADMITTED:
            raise Refused(ascii(full_name[:80])[1:-1])
        return ADMITTED[full_name]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(PickledDict(zip(items[::2], items[1::2], strict=True)))

    def load_empty_dict(self) -> None:
        self.append(PickledDict())

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, type) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call without a function or without arguments")
        if function is _PickledBytes:
            # The same text may be encoded again and again.
            self.encodable -= len(arguments[0])
            if self.encodable < 0:
                raise Refused("more bytes than are in it")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        # Of anything else, Python would set attributes, even those of classes.
        if not isinstance(made, _PickledType | PickledArray):
            raise Refused(f"a state for {described(made)}")
        made.__setstate__(state)

    dispatch = _Instructions(
        _loads(PLAIN)
        | {code: _checked(load) for code, load in _loads(TUPLES).items()}
        | {pickle.DICT[0]: load_dict, pickle.EMPTY_DICT[0]: load_empty_dict}
        | {pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build}
    )
