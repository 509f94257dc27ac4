"""Reads pickles that hold NumPy arrays and nothing else, without running what is in them.

A pickle is a program: whoever loads one runs what its author wrote. Here Python's own unpickler
finds stand-ins, which collect bytes, for the few names that pickled arrays mention; any other name
is refused before it is looked up. What it reads has been checked by `pickle_stream`.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from pisces.core.texts import in_one_line
from pisces.sources.pickle_stream import DICT, CheckedStream, Refused

TEXT_BEGINS = (pickle.MARK, pickle.GLOBAL)
"""How a pickle of text begins that holds a dict, or an object."""
LONGEST_LINE = 4096
"""Bytes that are looked through for the end of the first line."""
LONGEST = 200
"""Characters of an error of the unpickler's in one of ours."""


class LineEndsChanged(ValueError):
    """A pickle whose line ends were changed; in words, to what."""


TO_CRLF, TO_LF = "LF to CRLF", "CRLF to LF"
SAMPLED = 2**24
"""Bytes of a pickle that show whether its line ends were changed."""
LEAST_EXPECTED = 12
"""CRLFs that chance would make, of which none is there by chance once in 160 000 pickles."""


def load(path: Path) -> Any:
    """What a pickle holds, with `PickledArray` for arrays and `PickledDict` for dicts.

    Raises:
        Refused: when it asks for anything but arrays; the message says for what.
        LineEndsChanged: when a transfer as text has changed it.
        ValueError: when it is cut off or no pickle; the message says how it fails.
    """
    with path.open("rb") as file:
        _require_line_ends(file)
        try:
            return _Unpickler(file, path.stat().st_size).load()
        except LineEndsChanged:
            raise
        except Exception as error:  # there are as many kinds of damage as instructions
            if changed := _changed_line_ends(file):
                raise LineEndsChanged(changed) from None
            if isinstance(error, Refused):
                raise
            reason = in_one_line(error, LONGEST)
            raise ValueError(f"{type(error).__name__}: {reason}") from None


def _require_line_ends(file: BinaryIO) -> None:
    """Raises LineEndsChanged where the first line of a pickle of text ends as in Windows."""
    first_line = file.readline(LONGEST_LINE)
    file.seek(0)
    if first_line[:1] in TEXT_BEGINS and first_line.endswith(b"\r\n"):
        raise LineEndsChanged(TO_CRLF)


def _changed_line_ends(file: BinaryIO) -> str:
    """What a transfer as text made of the bytes of a binary pickle; empty where it was none.

    In the bytes of numbers a LF stands behind a CR once in 256 times: always or never is no chance.
    """
    file.seek(0)
    content = file.read(SAMPLED)
    if not content.startswith(pickle.PROTO):
        return ""
    ends, returns, both = (content.count(end) for end in (b"\n", b"\r", b"\r\n"))
    if ends and both == ends:
        return TO_CRLF
    expected = ends * returns / len(content)
    return TO_LF if expected >= LEAST_EXPECTED and not both else ""


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
        self.array.flags.writeable = False


def _array_of_buffer(
    payload: bytes, kind: _PickledType, shape: tuple[int, ...], order: bytes | str
) -> PickledArray:
    """Stands in for the function by which protocol 5 makes an array."""
    made = PickledArray()
    made.__setstate__((1, shape, kind, as_text(order) == "F", payload))
    return made


def _scalar(kind: _PickledType, payload: bytes) -> int:
    """Stands in for the function that makes a NumPy scalar, of which an SNR may be one."""
    (value,) = np.frombuffer(payload, kind.dtype)
    if value != int(value):
        raise Refused(f"the number {value} instead of a whole one")
    return int(value)


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, by which Python 3 writes bytes for Python 2."""
    if as_text(encoding) != "latin1":
        raise Refused(f"the encoding {described(encoding)}")
    return text.encode("latin1")


class PickledDict(list[tuple[Any, Any]]):
    """Stands in for dict: (key, value) as they come.

    No key is hashed, which can take forever, and none replaces another.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        self.append((key, value))


ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": PickledArray,
    "numpy.dtype": _PickledType,
    "numpy.core.multiarray._reconstruct": PickledArray,
    "numpy._core.multiarray._reconstruct": PickledArray,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
    "numpy._core.numeric._frombuffer": _array_of_buffer,
    "_codecs.encode": _encode,
}
"""What a pickled array names, and what stands in for it."""


class _Named:
    """What a name of a pickle leads to: a pickle can call it, and change nothing of it."""

    __slots__ = ("_stand_in",)

    def __init__(self, stand_in: Callable[..., Any]) -> None:
        self._stand_in = stand_in

    def __call__(self, *arguments: Any) -> Any:
        return self._stand_in(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise Refused("a state for a function or a class")


class _Unpickler(pickle.Unpickler):
    """Python's own unpickler, which finds nothing but stand-ins."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        # Python 2 had one type for text and bytes. As bytes, arrays need no copy of what was read.
        super().__init__(CheckedStream(file, size), encoding="bytes")
        self._encodable = size

    def find_class(self, module: str, name: str) -> _Named:
        if module.endswith("\r") or name.endswith("\r"):
            raise LineEndsChanged(TO_CRLF)

        full_name = f"{module}.{name}"
        if full_name == DICT:
            return _Named(lambda: PickledDict())  # which takes nothing, as a list would
        if full_name not in ADMITTED:
            raise Refused(ascii(full_name[:80])[1:-1])

        stand_in = ADMITTED[full_name]
        return _Named(self._encode_within_size if stand_in is _encode else stand_in)

    def _encode_within_size(self, text: str, encoding: str) -> bytes:
        """As `_encode`, but in all no more bytes than the file has: it may name a text often."""
        self._encodable -= len(text)
        if self._encodable < 0:
            raise Refused("more bytes than are in it")
        return _encode(text, encoding)
