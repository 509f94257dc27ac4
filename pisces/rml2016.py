"""RML2016.10a as a file: a pickled dict of (modulation, SNR in dB) -> float32 (frames, 2, 128), I then Q.

A pickle is a program: whoever loads one runs what its author wrote. The unpickler here imports nothing and calls nothing of NumPy's.
For the few names that pickled arrays mention it has stand-ins, which collect bytes, and for any other name it refuses the file.
"""

import pickle
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from pisces.files import staged
from pisces.modulations import NAMES
from pisces.shards import Cell

LAYOUT = "RML2016.10a is a dict of (modulation, SNR in dB) -> floating array (frames, 2, samples)"


def read(path: Path) -> dict[Cell, np.ndarray]:
    """Frames of every (modulation, SNR), sorted by name and SNR: floating (frames, 2, samples), read-only.

    Pickles of Python 2 (protocols 0 to 2) and Python 3 (up to 4) are read. The format allows no reading in parts: all frames, 225 MB of
    them in RML2016.10a (whose file is larger, since it spells most bytes in four letters), are in memory until the caller drops them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is cut off, asks for anything but arrays, or holds anything but the dict that `LAYOUT` describes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; make it with the stage synthesize, or set data.path to your copy of RML2016.10a")
    content = _unpickle(path)
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds {_described(content)}; {LAYOUT}")
    arrays = {_cell(key, path): _array(value, key, path) for key, value in content.items()}
    if len(lengths := {array.shape[2] for array in arrays.values()}) > 1:
        raise ValueError(f"{path} holds frames of {' and '.join(map(str, sorted(lengths)))} samples; all must have the same number")
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
            # Python 2 had one type for text and bytes; as bytes, arrays can lie on what was read without a copy.
            return _Arrays(file, encoding="bytes").load()
        except _Refused as refused:
            raise ValueError(f"{path} asks for {refused}, and only NumPy arrays are read from a pickle; {LAYOUT}") from None
        except Exception as error:  # a pickle that is cut off or nonsense fails in as many ways as there are instructions
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ValueError(
                f"{path} cannot be read as a pickle of arrays: cut off, or not such a file ({reason}); copy or download it again; {LAYOUT}"
            ) from None


class _Type:
    """Stands in for numpy.dtype: a kind of number, of whose state only the byte order counts."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        if _text(code) not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8"):
            raise _Refused(f"an array of type {_text(code)!r}")
        self.dtype = np.dtype(_text(code))

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(_text(state[1]))


class _Array:
    """Stands in for numpy.ndarray and for the function that makes an empty one, which the state then fills."""

    array: np.ndarray | None = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, payload = state
        self.array = np.frombuffer(payload, kind.dtype).reshape(shape, order="F" if fortran else "C")


class _Scalar(int):
    """Stands in for the function that makes a NumPy scalar, of which an SNR may be one."""

    def __new__(cls, kind: _Type, payload: bytes) -> "_Scalar":
        (value,) = np.frombuffer(payload, kind.dtype)
        if value != int(value):
            raise _Refused(f"the number {value} instead of a whole one")
        return super().__new__(cls, value)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a number with a state")


class _Bytes(bytes):
    """Stands in for _codecs.encode, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, encoding: str) -> "_Bytes":
        if _text(encoding) != "latin1":
            raise _Refused(f"the encoding {_text(encoding)!r}")
        return super().__new__(cls, text, "latin1")

    def __setstate__(self, state: Any) -> None:
        raise _Refused("bytes with a state")


ADMITTED: dict[str, type] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _Scalar for core in ("core", "_core")},
    "_codecs.encode": _Bytes,
}
"""What a pickled array names, and what stands in for it. Each has a `__setstate__`, without which a pickle could set attributes of the
class itself."""


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if f"{module}.{name}" not in ADMITTED:
            raise _Refused(f"{module}.{name}"[:80])
        return ADMITTED[f"{module}.{name}"]


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _cell(key: Any, path: Path) -> Cell:
    name, snr_db = key if isinstance(key, tuple) and len(key) == 2 else (None, None)
    if not isinstance(name, str | bytes) or not isinstance(snr_db, Integral) or isinstance(snr_db, bool):
        raise ValueError(f"{path} holds the key {_described(key)}; {LAYOUT}")
    if _text(name) not in NAMES:
        raise ValueError(f"{path} holds the modulation {_text(name)!r}; known are {', '.join(NAMES)}")
    return Cell(_text(name), int(snr_db))


def _array(value: Any, key: tuple, path: Path) -> np.ndarray:
    array = value.array if isinstance(value, _Array) else None
    if array is None:
        raise ValueError(f"{path} holds {_described(value)} under {_described(key)}; {LAYOUT}")
    if array.ndim != 3 or array.shape[1] != 2 or not array.size:
        raise ValueError(f"{path} holds an array of shape {array.shape} under {_described(key)}; {LAYOUT}")
    if array.dtype.kind != "f":
        raise ValueError(f"{path} holds an array of type {array.dtype} under {_described(key)}; {LAYOUT}")
    return array


def _described(value: Any) -> str:
    """A value in a few words: plain ones and pairs of them as they are, of all others the type."""
    if isinstance(value, _Array):
        return "an array"
    if isinstance(value, tuple) and len(value) == 2:
        return f"({_described(value[0])}, {_described(value[1])})"
    if isinstance(value, bytes | str):
        return repr(_text(value)[:40])
    return repr(value) if isinstance(value, int | float) else f"an object of type {type(value).__name__}"
