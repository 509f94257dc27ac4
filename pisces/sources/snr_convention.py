"""What the SNR labels of a file mean: as the user says, or as the measured SNR shows."""

import pandas as pd

from pisces.core.snr_label import DB_PER_LABEL, SnrLabel, convention_in
from pisces.sources.audit import LabelMeaning, SnrFit, fit_snr
from pisces.sources.settings import Selection

SHORTEST = 64
"""Samples of the shortest frame whose noise is told from its signal at high SNRs.

A clean frame of 64 samples at 8 a symbol seems to have 56 dB, one of 128 has 71 dB.
"""

UNDECIDED = 0.5
"""Error of a slope, in dB for each step of 1 of the label, from which on it is that of neither
convention: half of what lies between the two. Behind a low-pass the noise cannot be measured."""


def meaning_of(data: Selection, table: pd.DataFrame, samples: int) -> LabelMeaning:
    """What the SNR labels of `data.path` are taken for.

    Args:
        data: says what they mean, or that this is to be measured.
        table: measured SNRs, the `audit.snr_table` of the selected frames.
        samples: of each frame.

    Returns:
        The convention, where it is known from, and how well the measured SNR agrees.

    Raises:
        ValueError: when the user's convention contradicts the measured SNR and is not forced.
    """
    shown = shown_by(table) if samples >= SHORTEST else None
    if data.snr_label == "auto":
        if shown is None:
            return LabelMeaning("power", "assumed", fit_snr(table))
        return LabelMeaning(shown.snr_label, "measured", shown)

    told = convention_in({"snr_label": data.snr_label})
    if shown is not None and shown.snr_label != told and not data.snr_label_forced:
        raise ValueError(_contradiction(data.path, told, shown))
    return LabelMeaning(told, "params", fit_snr(table, told))


def shown_by(table: pd.DataFrame) -> SnrFit | None:
    """The fit of the convention whose slope is nearer to the measured one.

    None where neither can be fitted, or the slope is far from both.
    """
    fits = [fit_snr(table, convention) for convention in DB_PER_LABEL]
    near = [fit for fit in fits if fit and fit.error < UNDECIDED]
    return min(near, key=lambda fit: fit.error, default=None)


def _contradiction(path: str, told: SnrLabel, shown: SnrFit) -> str:
    return (
        f"data.snr_label = {told}, by which the SNR rises by {DB_PER_LABEL[told]} dB for each "
        f"step of 1 of the label, but in {path} the measured SNR rises by {shown.slope:.2f} dB, "
        f"as with {shown.snr_label}; set data.snr_label to {shown.snr_label} or auto, "
        "or data.snr_label_forced to true if the measurement is wrong"
    )
