"""Random generators named by purpose and frame: batches, workers and device decide nothing."""

import hashlib

import numpy as np


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
    # As Python's own types: NumPy's integers and strings are spelt differently.
    plain = tuple(str(part) if isinstance(part, str) else int(part) for part in identity)
    name = repr((int(seed), purpose, *plain)).encode()
    key = np.frombuffer(hashlib.blake2b(name, digest_size=16).digest(), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
