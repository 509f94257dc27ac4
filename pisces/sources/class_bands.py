"""How much of the band each class fills, and whether it is only noise: for every modulation.

In RML2016.10a all frames of AM-SSB are white noise, whatever their label says. White noise is the
one signal whose mean spectrum is flat over the whole band.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import fft
from scipy.special import digamma

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.modulations import in_order
from pisces.core.shards import Cell
from pisces.sources.finding import ANY, Finding, judged
from pisces.sources.signal_statistics import CLEAR_FROM_LABEL, FRAMES_READ, GROUPS, interval

HIGHEST_LABELS = 3
"""A class is measured at so many of its highest labels, from 5 dB up."""
FEWEST_PER_BAND = 8
"""Numbers behind the power in a band, of which there are at most as many as in `MOST_BANDS`."""
MOST_BANDS = 32
FLATTEST = 0.9
"""Flatness up to which a spectrum shows a signal. At 5 dB one that fills two thirds of the band, as
of two samples a symbol, has 0.78; white noise has 1."""
POWER_SHARE = 0.99


def class_findings(root: Path) -> list[Finding]:
    """Flatness and occupied band of every modulation of a directory of shards."""
    found = []
    cells = shards.cells(root)
    for name in in_order(cell.modulation for cell in cells):
        spectra = _spectra(root, _clear(name, cells))
        found += [_flatness_finding(name, spectra), _band_finding(name, spectra)]
    return found


def _clear(name: str, cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a class whose labels promise a clear signal."""
    promising = [cell for cell in cells if cell.modulation == name]
    promising = [cell for cell in promising if cell.snr_db >= CLEAR_FROM_LABEL]
    return sorted(promising, key=lambda cell: cell.snr_db)[-HIGHEST_LABELS:]


def _spectra(root: Path, cells: Sequence[Cell]) -> list[np.ndarray]:
    """Periodograms of frames of unit power, by group: (frames, samples), frequency ascending."""
    groups: list[list[np.ndarray]] = [[] for _ in range(GROUPS)]
    for cell in cells:
        iq = to_complex(shards.array(cell.path(root), "iq")[:FRAMES_READ])
        # Without a window the bins of white noise are independent.
        periodogram = np.abs(fft.fftshift(fft.fft(iq), axes=1)) ** 2
        unit = periodogram / periodogram.mean(axis=1, keepdims=True)
        for k, row in enumerate(unit):
            groups[k % GROUPS].append(row)
    return [np.stack(rows) for rows in groups if rows]


def flatness(spectra: np.ndarray) -> float:
    """Geometric over arithmetic mean of the power in equal bands: 1 for white noise on average.

    Args:
        spectra: periodograms (frames, samples).

    Returns:
        Above 0; slightly more than 1 by chance.
    """
    frames, samples = spectra.shape
    bands = min(MOST_BANDS, max(2, frames * samples // FEWEST_PER_BAND))
    width = samples // bands
    used = spectra[:, : bands * width].reshape(frames, bands, width)
    power = used.mean(axis=(0, 2))  # (frames, bands, width) -> (bands,)

    # The mean of the logarithm of a mean of n exponentials is digamma(n) - log(n).
    count = frames * width
    of_noise = digamma(count) - np.log(count)
    with np.errstate(divide="ignore"):  # an empty band makes it zero
        mean_logarithm = np.mean(np.log(power))
    return float(np.exp(mean_logarithm - np.log(power.mean()) - of_noise))


def occupied_band(spectra: np.ndarray) -> float:
    """Width of the band that holds 99 % of the power, in cycles a sample.

    As of ITU-R SM.328: half of what is missing lies beyond either end.

    Args:
        spectra: periodograms (frames, samples), frequency ascending.

    Returns:
        0 to 1.
    """
    share = np.cumsum(spectra.mean(axis=0))
    share /= share[-1]
    beyond = (1 - POWER_SHARE) / 2
    first, last = np.searchsorted(share, [beyond, 1 - beyond])
    return float(last - first + 1) / spectra.shape[1]


def _flatness_finding(name: str, spectra: Sequence[np.ndarray]) -> Finding:
    estimate = interval([flatness(group) for group in spectra])
    return judged(
        f"flatness of {name}",
        estimate,
        "of white noise",
        harmless=(-np.inf, FLATTEST),
        expected=f"below {FLATTEST}",
        param="data.modulations",
        warning=f"frames labelled {name} are only noise: their spectrum is flat "
        f"({estimate.figure:.2f}, white noise 1) at the highest labels, too; "
        f"take {name} out of data.modulations",
    )


def _band_finding(name: str, spectra: Sequence[np.ndarray]) -> Finding:
    return judged(
        f"occupied_band of {name}",
        interval([occupied_band(group) for group in spectra]),
        "cycles a sample",
        harmless=ANY,
        expected="",
        param="data.modulations",
        warning="",
    )
