"""What the SNR label of a file means: the one place that turns labels into SNRs and back.

The public generator of RML2016.10a scales the amplitude of the noise by 10^(-label / 10), where a
power ratio would take 10^(-label / 20); the floors of RML2018.01A show the same. The true SNR in dB
is then twice the label. All SNRs here are over the whole band.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np

if TYPE_CHECKING:
    import torch  # which takes seconds, and readers and pictures do without

SnrLabel = Literal["power", "amplitude"]
"""`power`: the label is the SNR in dB. `amplitude`: the SNR in dB is twice the label."""

DB_PER_LABEL: dict[SnrLabel, int] = {"power": 1, "amplitude": 2}

Number = TypeVar("Number", int, float, np.ndarray, "torch.Tensor")
Real = TypeVar("Real", float, np.ndarray)


def true_snr_db(label: Number, convention: SnrLabel) -> Number:
    """The SNR in dB, over the whole band, that a label stands for.

    >>> true_snr_db(30, "amplitude")
    60
    """
    return label * DB_PER_LABEL[convention]


def label_of(snr_db: Real, convention: SnrLabel) -> Real:
    """The label, not rounded, of an SNR in dB over the whole band."""
    return snr_db / DB_PER_LABEL[convention]


def convention_in(stored: Mapping[str, Any]) -> SnrLabel:
    """The convention that is stored as `snr_label`, with shards or with predictions.

    What was stored without one has labels of the convention `power`.

    Raises:
        ValueError: when it names no convention.

    >>> convention_in({"snr_label": "amplitude"})
    'amplitude'
    """
    name = str(stored.get("snr_label", "power"))
    for convention in get_args(SnrLabel):
        if convention == name:
            return convention
    raise ValueError(
        f"snr_label = {name!r} is no convention of SNR labels; it is one of "
        f"{', '.join(get_args(SnrLabel))}; make the data again with dvc repro --force split_hdf5"
    )
