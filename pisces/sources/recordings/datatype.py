"""How a sample is stored: the words of SigMF for it, and the numbers that it becomes."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

COMPONENTS = {
    "f64": "f8",
    "f32": "f4",
    "i32": "i4",
    "u32": "u4",
    "i16": "i2",
    "u16": "u2",
    "i8": "i1",
    "u8": "u1",
}
"""What SigMF calls a component -> what NumPy does."""
WORD = re.compile(rf"([cr])({'|'.join(COMPONENTS)})(_le|_be)?")
ALLOWED = "c or r (complex, real), one of " + ", ".join(COMPONENTS) + ", then _le, _be or nothing"


@dataclass(frozen=True)
class Datatype:
    """How a sample is stored."""

    name: str
    is_complex: bool
    component: np.dtype[Any]

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample, I and Q together."""
        return self.component.itemsize * (2 if self.is_complex else 1)

    def decode(self, stored: bytes) -> np.ndarray:
        """Samples of their bytes: complex64 (n,), or float32 (n,) of real ones."""
        components = to_unit(np.frombuffer(stored, self.component))
        return components.view(np.complex64) if self.is_complex else components


def parse(word: str, where: str) -> Datatype:
    """The datatype that a word names; without an end it is little endian.

    Raises:
        ValueError: naming `where` it stands, when it is none.
    """
    match = WORD.fullmatch(word.lower())
    if match is None:
        raise ValueError(f"{where} is {word!r}, which is no datatype: it is {ALLOWED}, as cf32_le")
    kind, component, end = match.groups()
    order = ">" if end == "_be" else "<"
    return Datatype(word.lower(), kind == "c", np.dtype(order + COMPONENTS[component]))


def joined(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """Complex128 of two parts of one shape. A sum would make NaN of what is infinite."""
    samples = np.empty(real.shape, np.complex128)
    with np.errstate(invalid="ignore"):  # NaN is refused by name, later
        samples.real, samples.imag = real, imaginary
    return samples


def to_unit(components: np.ndarray) -> np.ndarray:
    """Components as a new array float32 of the same shape, integers of up to 32 bits within -1..1.

    As SigMF's own library scales them: signed ones of b bits are divided by 2^(b-1); unsigned ones
    lose 2^(b-1) before. Longer integers, which no receiver writes, stay as they are.
    """
    kind, size = components.dtype.kind, components.dtype.itemsize
    if kind not in "iu" or size > 4:
        with np.errstate(over="ignore", invalid="ignore"):
            return components.astype(np.float32)

    half = 2.0 ** (8 * size - 1)
    middle = half if kind == "u" else 0.0
    wide = components.astype(np.float64)
    return ((wide - middle) / half).astype(np.float32)
