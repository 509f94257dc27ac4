"""Random generators named by purpose and frame identity, so that no choice depends on batch order, workers or device."""

import hashlib

import numpy as np


def generator(seed: int, purpose: str, *identity: str | int) -> np.random.Generator:
    """A fresh generator for one purpose and one thing, e.g. `generator(1, "noise", "QPSK", -4, 17)`.

    A frame's identity is (modulation, SNR in dB, row in the source file). Equal arguments give equal streams on
    every machine; any difference gives an independent one (BLAKE2b of the arguments keys NumPy's Philox).
    """
    # As Python's own types: NumPy's integers and strings are spelt differently.
    plain = tuple(str(part) if isinstance(part, str) else int(part) for part in identity)
    name = repr((int(seed), purpose, *plain)).encode()
    key = np.frombuffer(hashlib.blake2b(name, digest_size=16).digest(), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
