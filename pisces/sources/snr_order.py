"""Whether the SNR labels of a file rise with the SNR that its frames show.

Labels that are reversed, shuffled or all alike let the class order look wrong, since that is judged
on the frames of the highest labels.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pisces.core.dsp import measured_snr, to_complex
from pisces.core.seeding import generator
from pisces.core.stats import rank_correlation
from pisces.sources.base import is_usable

FRAMES_SAMPLED = 512
"""Frames that are looked at, from anywhere in a file: the first of a label may be of one SNR."""
SHOWN_DB = (-10, 40)
"""SNRs that a frame shows: below, it is too short to tell its noise; above, its taper leaks."""
FEWEST = 8
"""Frames of a class that tell how its labels and SNRs go together."""
MOST_UNRELATED = 0.25
"""Rank correlation up to which labels say nothing about the SNR.

Chance makes 0.06 of labels without order, in the median over 24 classes of 21 frames. Right
labels that are as far apart as `LEAST_SPREAD_DB` have 0.65 or more, even under Rayleigh fading.
"""
LEAST_SPREAD_DB = 10
"""By which the middle two thirds of the SNRs, and of the labels, must differ to be compared."""
FADING_DB = 15
"""Range of the middle two thirds of SNRs beyond which they are not those of one label.

Rayleigh fading makes 11 dB.
"""
TINY = 1e-9
"""Keeps an SNR of zero from having no logarithm."""

Labelled = TypeVar("Labelled", bound=tuple[Any, int])
"""A class, and an SNR label."""


class Sample(NamedTuple):
    """Some frames of a file, arrays (n,)."""

    column: np.ndarray
    """Number of the class."""
    label: np.ndarray
    """SNR labels."""
    snr_db: np.ndarray
    """Measured, within `SHOWN_DB`."""


def sample_of(
    labelled: Mapping[Labelled, np.ndarray], read_row: Callable[[int], np.ndarray]
) -> Sample:
    """Frames from anywhere in a file; those that are damaged or cannot be normalised are left out.

    Args:
        labelled: (class, SNR label) -> rows in the file, int64 (n,).
        read_row: float32 (1, samples, 2) of a row; raises OSError where it is damaged.

    Returns:
        At most `FRAMES_SAMPLED` frames, of the same rows each time.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(n for n, _ in labelled))}
    keys = np.array([(numbers[name], snr_db) for name, snr_db in labelled])
    ends = np.cumsum([len(rows) for rows in labelled.values()])
    rows = np.concatenate(list(labelled.values()))

    size = min(len(rows), FRAMES_SAMPLED)
    drawn = generator(0, "snr order").choice(len(rows), size, replace=False)
    taken, snrs = [], []
    for index in drawn[np.argsort(rows[drawn])]:
        with suppress(OSError):
            frame = read_row(int(rows[index]))
            if is_usable(frame).all():
                taken.append(index)
                snrs.append(float(measured_snr(to_complex(frame))[0]))

    column, label = keys[np.searchsorted(ends, taken, side="right")].T
    snr_db = 10 * np.log10(np.maximum(snrs, TINY))  # below 0 where noise outweighs
    return Sample(column, label, np.clip(snr_db, *SHOWN_DB))


def complaint(path: Path, amiss: str) -> str:
    """The message for a file whose labels are amiss in this way, as of `what_is_amiss`."""
    return (
        f"the SNR labels of {path} do not follow the measured SNR: {amiss}; correct them where the "
        "file was made, or set data.snr_label_forced to true if the measurement is wrong"
    )


def what_is_amiss(sample: Sample) -> str:
    """In which way labels do not follow the measured SNR, a clause; empty where they may do."""
    if not len(sample.label):
        return ""
    if np.ptp(sample.label) == 0:
        return _one_for_all(sample)

    classes = _classes(sample)
    if not classes:
        return ""
    correlation = float(np.median([_correlation(one) for one in classes]))
    is_spread = _spread(sample.label) >= LEAST_SPREAD_DB
    limit = MOST_UNRELATED if is_spread else -MOST_UNRELATED
    measured_db = float(np.median([_spread(one.snr_db) for one in classes]))
    if correlation > limit or measured_db < min(LEAST_SPREAD_DB, _spread(sample.label) / 2):
        return ""

    lowest, highest = sample.label.min(), sample.label.max()
    ends = [f"frames labelled {end} measure {_median(sample, end)}" for end in (lowest, highest)]
    return f"{' and '.join(ends)} (rank correlation {correlation:.2f}; of right labels near 1)"


def _one_for_all(sample: Sample) -> str:
    spread_db = np.median([_spread(one.snr_db) for one in _classes(sample)] or [0.0])
    if spread_db <= FADING_DB:
        return ""
    low, high = np.percentile(sample.snr_db, [16, 84])
    return (
        f"all frames are labelled {sample.label[0]}, and two thirds of them measure from "
        f"{_decibels(low)} to {_decibels(high)}"
    )


def _classes(sample: Sample) -> list[Sample]:
    """The frames of each class that has enough of them."""
    parts = []
    for column in np.unique(sample.column):
        own = sample.column == column
        if own.sum() >= FEWEST:
            parts.append(Sample(*(values[own] for values in sample)))
    return parts


def _correlation(one: Sample) -> float:
    """Of labels and SNRs; 1, which is no reason to doubt, where either are all alike."""
    everything = np.ones((1, len(one.label)), bool)
    (found,) = rank_correlation(one.label[None], one.snr_db[None], everything)
    return 1.0 if np.isnan(found) else float(found)


def _spread(values: np.ndarray) -> float:
    """Range of the middle two thirds."""
    low, high = np.percentile(values, [16, 84])
    return float(high - low)


def _median(sample: Sample, label: int) -> str:
    return _decibels(np.median(sample.snr_db[sample.label == label]))


def _decibels(snr_db: float) -> str:
    lowest, highest = SHOWN_DB
    if snr_db <= lowest:
        return f"{lowest} dB or less"
    return f"{highest} dB or more" if snr_db >= highest else f"{snr_db:.1f} dB"
