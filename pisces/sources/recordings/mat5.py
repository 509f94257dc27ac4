"""Numeric variables of a MAT-file of version 5, read by position.

SciPy holds such a file whole, and looks up types unchecked, so that a damaged file can end the
process. Layout: MathWorks, MAT-File Format, "Level 5 MAT-File Format".
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pisces.core.texts import counted
from pisces.sources.recordings.contents import (
    AT_ONCE,
    Contents,
    TemporaryContents,
    require_room,
)
from pisces.sources.recordings.datatype import joined

HEADER_BYTES = 128
ORDERS = {b"IM": "<", b"MI": ">"}
"""The last two bytes of the header -> byte order."""
TAG_BYTES = 8
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of an element -> that of NumPy."""
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
CLASSES |= {14: "i8", 15: "u8"}
"""Class of an array in MATLAB -> type of NumPy. Its numbers may be stored as shorter ones."""
IS_COMPLEX = 0x0800
MOST_DIMENSIONS_BYTES, MOST_NAME_BYTES = 256, 1_024
MOST_VARIABLES = 10_000
MOST_BYTES = 2**32
"""Of a variable: sizes are stored in 32 bits."""


class Element(NamedTuple):
    """A piece of data with a type."""

    kind: int
    first: int
    """Where its data begin."""
    size: int
    end: int
    """Where the next one begins."""


@dataclass(frozen=True)
class Array:
    """A numeric variable."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    contents: Contents
    order: str
    parts: tuple[Element, ...]
    """Its real part, and its imaginary one where it has one."""

    def read(self, start: int, count: int) -> np.ndarray:
        """Numbers in MATLAB's order, column after column: (count,), complex where it is."""
        parts = [self._part(part, start, count) for part in self.parts]
        return parts[0] if len(parts) == 1 else joined(*parts)

    def _part(self, part: Element, start: int, count: int) -> np.ndarray:
        stored = np.dtype(self.order + TYPES[part.kind])
        offset = part.first + start * stored.itemsize
        numbers = self.contents.read(offset, count * stored.itemsize)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.frombuffer(numbers, stored).astype(self.dtype)


def arrays(contents: Contents) -> Iterator[Array]:
    """The numeric variables of a file, in its order; cells, structures, objects are passed over.

    Raises:
        ValueError: when it is damaged.
    """
    order = ORDERS.get(contents.read(HEADER_BYTES - 2, 2))
    if order is None:
        raise ValueError(f"{contents.name} has a damaged header")

    position = HEADER_BYTES
    for _ in range(MOST_VARIABLES):
        if position + TAG_BYTES > contents.size:
            return
        element = _element(contents, position, order)
        inside = contents
        position = element.first + element.size  # here they stand without a gap
        if element.kind == COMPRESSED:
            inside = _inflated(contents, element)
            element = _element(inside, 0, order)
        if element.kind == MATRIX:
            array = _array(inside, element, order)
            if array is not None:
                yield array


def _element(contents: Contents, position: int, order: str) -> Element:
    kind, size = _integers(contents, position, 2, order + "u4")
    first = position + TAG_BYTES
    end = first + -(-size // TAG_BYTES) * TAG_BYTES
    if kind >> 16:  # at most four bytes, which stand in the tag
        kind, size, first, end = kind & 0xFFFF, kind >> 16, position + 4, position + TAG_BYTES
    if first + size > contents.size:
        raise ValueError(f"{contents.name} is cut off: it ends within a variable")
    return Element(kind, first, size, end)


def _integers(contents: Contents, first: int, count: int, dtype: str) -> list[int]:
    size = count * np.dtype(dtype).itemsize
    return [int(one) for one in np.frombuffer(contents.read(first, size), dtype)]


def _array(contents: Contents, matrix: Element, order: str) -> Array | None:
    """A variable; None where it is not numeric."""
    about = _element(contents, matrix.first, order)
    (flags,) = _integers(contents, about.first, 1, order + "u4")
    dtype = CLASSES.get(flags & 0xFF)
    if dtype is None:
        return None

    dimensions = _element(contents, about.end, order)
    called = _element(contents, dimensions.end, order)
    if dimensions.size > MOST_DIMENSIONS_BYTES or called.size > MOST_NAME_BYTES:
        raise ValueError(f"{contents.name} has a damaged variable")
    shape = tuple(_integers(contents, dimensions.first, dimensions.size // 4, order + "i4"))
    name = contents.read(called.first, called.size).decode("utf-8", "replace")

    parts, position = [], called.end
    for _ in range(2 if flags & IS_COMPLEX else 1):
        part = _element(contents, position, order)
        if part.kind not in TYPES:
            raise ValueError(f"{contents.name} holds {name!r} as type {part.kind}, which is none")
        item_bytes = np.dtype(TYPES[part.kind]).itemsize
        if min(shape, default=-1) < 0 or part.size != prod(shape) * item_bytes:
            size = counted(part.size, "byte")
            raise ValueError(f"{contents.name} holds {size} for {name!r} of {shape}")
        parts.append(part)
        position = part.end
    return Array(name, shape, np.dtype(dtype), contents, order, tuple(parts))


def _inflated(contents: Contents, element: Element) -> Contents:
    """A compressed element, unpacked to a temporary file."""
    copy = TemporaryContents(contents.name)
    inflate = zlib.decompressobj()
    stop = element.first + element.size
    for start in range(element.first, stop, AT_ONCE):
        packed = contents.read(start, min(AT_ONCE, stop - start))
        while packed and not inflate.eof:
            require_room(contents.name, AT_ONCE)
            copy.append(inflate.decompress(packed, AT_ONCE))
            packed = inflate.unconsumed_tail
            if copy.size > MOST_BYTES:
                raise ValueError(f"{contents.name} has a variable of more than {MOST_BYTES} bytes")
    copy.append(inflate.flush())
    return copy
