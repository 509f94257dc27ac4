"""RML2016.10a as a file: a pickled dict of (modulation, SNR in dB) -> float32 (frames, 2, 128), I then Q.

A pickle is a program: whoever loads one runs what its author wrote. The unpickler here imports nothing and calls nothing of NumPy's.
For the few names that pickled arrays mention it has stand-ins, which collect bytes, and for any other name it refuses the file. It knows
only the instructions that such files use, and none of them takes more time or memory than the bytes that it stands for.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pisces.core.files import staged
from pisces.core.modulations import NAMES
from pisces.core.shards import Cell

LAYOUT = "RML2016.10a is a dict of (modulation, SNR in dB) -> floating array (frames, 2, samples)"
SNR_DB_MAX = 1000
"""Either way; beyond it, powers overflow."""


def read(path: Path) -> dict[Cell, np.ndarray]:
    """Frames of every (modulation, SNR), sorted by name and SNR: floating (frames, 2, samples), read-only.

    Pickles of Python 2 (protocols 0 to 2) and Python 3 (up to 4) are read. The format allows no reading in parts: all frames, 225 MB of
    them in RML2016.10a (whose file is larger, since it spells most bytes in four letters), are in memory until the caller drops them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is cut off, asks for anything but arrays, or holds anything but the dict that `LAYOUT` describes.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file; make it with the stage synthesize, or set data.path to your copy of RML2016.10a"
        )
    content = _unpickle(path)
    if not isinstance(content, _Items) or not content:
        raise ValueError(f"{path} holds {_described(content)}; {LAYOUT}")
    arrays: dict[Cell, np.ndarray] = {}
    for key, value in content:
        if (cell := _cell(key, path)) in arrays:
            raise ValueError(
                f"{path} holds the key {_described(key)} twice; each (modulation, SNR in dB) must be there once"
            )
        arrays[cell] = _array(value, key, path)
    if len(lengths := {array.shape[2] for array in arrays.values()}) > 1:
        raise ValueError(
            f"{path} holds frames of {min(lengths)} and {max(lengths)} samples; all must have the same number"
        )
    return dict(sorted(arrays.items()))


def write(path: Path, arrays: Mapping[Cell, np.ndarray]) -> None:
    """Writes frames, each cell (frames, 2, samples), as Python 2 would read them, whole or not at all.

    Raises:
        OSError: when `path` cannot be written.
    """
    with staged(path) as temporary, temporary.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=2)
        pickler.fast = True  # no memo, which would hold every cell twice more
        pickler.dump({tuple(cell): np.ascontiguousarray(array) for cell, array in arrays.items()})


class _Refused(Exception):
    """A pickle that asks for more than arrays."""


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            return _Arrays(_Whole(file, path.stat().st_size)).load()
        except _Refused as refused:
            raise ValueError(
                f"{path} asks for {refused}, and only NumPy arrays are read from a pickle; {LAYOUT}"
            ) from None
        except Exception as error:  # a pickle that is cut off or nonsense fails in as many ways as there are instructions
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ValueError(
                f"{path} cannot be read as a pickle of arrays: cut off, or not such a file ({reason}); copy or download it again; {LAYOUT}"
            ) from None


class _Type:
    """Stands in for numpy.dtype: a kind of number, of whose state only the byte order counts."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        if _text(code) not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8"):
            raise _Refused(f"an array of type {_described(code)}")
        self.dtype = np.dtype(_text(code))

    def __setstate__(self, state: tuple) -> None:
        if (order := _text(state[1])) not in ("<", ">", "=", "|"):
            raise _Refused(f"the byte order {_described(order)}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands in for numpy.ndarray and for the function that makes an empty one, which the state then fills."""

    array: np.ndarray | None = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, payload = state
        self.array = np.frombuffer(payload, kind.dtype).reshape(
            shape, order="F" if fortran else "C"
        )


class _Scalar(int):
    """Stands in for the function that makes a NumPy scalar, of which an SNR may be one."""

    def __new__(cls, kind: _Type, payload: bytes) -> "_Scalar":
        (value,) = np.frombuffer(payload, kind.dtype)
        if value != int(value):
            raise _Refused(f"the number {value} instead of a whole one")
        return super().__new__(cls, value)


class _Bytes(bytes):
    """Stands in for _codecs.encode, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, encoding: str) -> "_Bytes":
        if _text(encoding) != "latin1":
            raise _Refused(f"the encoding {_described(encoding)}")
        return super().__new__(cls, text, "latin1")


class _Items(list):
    """Stands in for dict: (key, value) as they come. No key is hashed, which can take forever, and none replaces another."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.append((key, value))


ADMITTED: dict[str, type] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _Scalar for core in ("core", "_core")},
    "_codecs.encode": _Bytes,
}
"""What a pickled array names, and what stands in for it."""

PLAIN = """PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    GLOBAL STACK_GLOBAL GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE SETITEM SETITEMS"""
"""Instructions that do what they do in any pickle: on the bytes that follow them, or on the top of the stack."""
TUPLES = "EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE"
WIDTH = 16
"""Most things in a tuple; the state of a dtype has 8."""


class _Instructions(dict[int, Callable[["_Arrays"], None]]):
    def __missing__(self, code: int) -> None:
        known = pickletools.code2op.get(chr(code))
        raise (
            _Refused(f"the instruction {known.name}")
            if known
            else pickle.UnpicklingError(f"there is no instruction {chr(code)!r}")
        )


def _loads(names: str) -> dict[int, Callable[["_Arrays"], None]]:
    """What Python does for these instructions, by their codes."""
    codes = [getattr(pickle, name)[0] for name in names.split()]
    return {code: pickle._Unpickler.dispatch[code] for code in codes}


def _checked(load: Callable[["_Arrays"], None]) -> Callable[["_Arrays"], None]:
    """Makes a tuple that holds at most `WIDTH` things, among them tuples but none that holds one: the state of an array has its shape.

    Tuples of tuples take no more bytes than there are levels, and yet have more ends than anybody can count, or than the stack can follow.
    """

    def loaded(unpickler: "_Arrays") -> None:
        load(unpickler)
        made = unpickler.stack[-1]
        if len(made) > WIDTH:
            raise _Refused(f"a tuple of {len(made)} things")
        if any(
            isinstance(inner, tuple) and any(isinstance(each, tuple) for each in inner)
            for inner in made
        ):
            raise _Refused("tuples in tuples in tuples")

    return loaded


class _Whole:
    """A file of `size` bytes that gives all that is asked for or fails, and never makes room for more than it holds."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def read(self, n: int) -> bytes:
        if len(data := self.file.read(min(n, self.size))) < n:
            raise EOFError("it ends too early")
        return data

    def readline(self) -> bytes:
        if not (line := self.file.readline()).endswith(b"\n"):
            raise EOFError("it ends within a line")
        return line


class _Arrays(pickle._Unpickler):
    """The unpickler in Python, slower only by the instruction, of which an array takes some fifty however long it is.

    Of the one in C, no instruction can be replaced, and it has a list for a memo, as long as the largest index that a file writes into
    it. Reading ahead with `pickletools.genops` is no way either: it takes the text of Python 2 for ASCII and fails on arrays.
    """

    def __init__(self, file: "_Whole") -> None:
        # Python 2 had one type for text and bytes; as bytes, arrays can lie on what was read without a copy.
        super().__init__(file, encoding="bytes")
        self.encodable = file.size

    def find_class(self, module: str, name: str) -> type:
        if f"{module}.{name}" not in ADMITTED:
            raise _Refused(ascii(f"{module}.{name}"[:80])[1:-1])
        return ADMITTED[f"{module}.{name}"]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_Items(zip(items[::2], items[1::2], strict=True)))

    def load_empty_dict(self) -> None:
        self.append(_Items())

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, type) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call without a function or without arguments")
        if function is _Bytes:
            self.encodable -= len(arguments[0])
            if self.encodable < 0:
                raise _Refused("more bytes than are in it")  # the same text again and again
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(
            made, _Type | _Array
        ):  # of others, Python sets attributes, even those of classes
            raise _Refused(f"a state for {_described(made)}")
        made.__setstate__(state)

    dispatch = _Instructions(
        _loads(PLAIN)
        | {code: _checked(load) for code, load in _loads(TUPLES).items()}
        | {pickle.DICT[0]: load_dict, pickle.EMPTY_DICT[0]: load_empty_dict}
        | {pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build}
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _cell(key: Any, path: Path) -> Cell:
    name, snr_db = key if isinstance(key, tuple) and len(key) == 2 else (None, None)
    if (
        not isinstance(name, str | bytes)
        or not isinstance(snr_db, Integral)
        or isinstance(snr_db, bool)
    ):
        raise ValueError(f"{path} holds the key {_described(key)}; {LAYOUT}")
    if _text(name) not in NAMES:
        raise ValueError(
            f"{path} holds the modulation {_described(name)}; known are {', '.join(NAMES)}"
        )
    if abs(snr_db) > SNR_DB_MAX:
        raise ValueError(
            f"{path} holds the key {_described(key)}; SNRs are from {-SNR_DB_MAX} to {SNR_DB_MAX} dB"
        )
    return Cell(_text(name), int(snr_db))


def _array(value: Any, key: tuple, path: Path) -> np.ndarray:
    array = value.array if isinstance(value, _Array) else None
    if array is None:
        raise ValueError(f"{path} holds {_described(value)} under {_described(key)}; {LAYOUT}")
    if array.ndim != 3 or array.shape[1] != 2 or not array.size:
        raise ValueError(
            f"{path} holds an array of shape {array.shape} under {_described(key)}; {LAYOUT}"
        )
    if array.dtype.kind != "f":
        raise ValueError(
            f"{path} holds an array of type {array.dtype} under {_described(key)}; {LAYOUT}"
        )
    return array


def _described(value: Any) -> str:
    """A value in a few words: plain ones and pairs of them as they are, of all others the type."""
    if isinstance(value, tuple) and len(value) == 2:
        return f"({', '.join('a tuple' if isinstance(each, tuple) else _described(each) for each in value)})"
    if isinstance(value, bytes | str):
        return repr(_text(value[:40]))
    if isinstance(value, int) and abs(value) > 10**12:  # long ones Python refuses to write
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    names = {_Array: "an array", _Items: "a dict" if value else "an empty dict"}
    return names.get(type(value), f"an object of type {type(value).__name__}")
