"""Random generators named by purpose and frame: batches, workers and device decide nothing."""

import hashlib

import numpy as np


def bits(seed: int, purpose: str, *identity: str | int) -> int:
    """64 random bits as a number from 0 to 2^64 - 1: what a few choices a frame need.

    A fifth of the time of a `generator`, and independent of that of the same name.

    Args:
        seed: root of every random choice.
        purpose: what is drawn, a name of its own.
        identity: what it is drawn for, as `generator` takes it.

    Returns:
        A number; equal arguments give equal ones.
    """
    return int.from_bytes(_digest(seed, purpose, identity, size=8), "little")


class RowBits:
    """`bits` of many rows, in a third of its time: what they have in common is hashed once.

    Args:
        seed: root of every random choice.
        purpose: what is drawn.
        identity: what it is drawn for, without the row.

    >>> RowBits(1, "symmetry", "QPSK", -4)(17) == bits(1, "symmetry", "QPSK", -4, 17)
    True
    """

    def __init__(self, seed: int, purpose: str, *identity: str | int) -> None:
        in_common = _spelt(seed, purpose, identity).removesuffix(")")
        self._begun = hashlib.blake2b(f"{in_common}, ".encode(), digest_size=8)

    def __call__(self, row: int) -> int:
        """The number of a row, which is the last part of the identity."""
        hashed = self._begun.copy()
        hashed.update(b"%d)" % row)
        return int.from_bytes(hashed.digest(), "little")


def generator(seed: int, purpose: str, *identity: str | int) -> np.random.Generator:
    """A fresh generator for one purpose and one thing.

    Equal arguments give equal streams on every machine; any difference gives an independent one.
    BLAKE2b of the arguments keys NumPy's Philox.

    Args:
        seed: root of every random choice.
        purpose: what is drawn, a name of its own.
        identity: what it is drawn for; of a frame its modulation, SNR in dB and row in the source
            file.

    Returns:
        The generator, e.g. of `generator(1, "noise", "QPSK", -4, 17)`.
    """
    key = np.frombuffer(_digest(seed, purpose, identity, size=16), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _digest(seed: int, purpose: str, identity: tuple[str | int, ...], size: int) -> bytes:
    name = _spelt(seed, purpose, identity)
    return hashlib.blake2b(name.encode(), digest_size=size).digest()


def _spelt(seed: int, purpose: str, identity: tuple[str | int, ...]) -> str:
    # As Python's own types: NumPy's integers and strings are spelt differently.
    plain = tuple(str(part) if isinstance(part, str) else int(part) for part in identity)
    return repr((int(seed), purpose, *plain))
