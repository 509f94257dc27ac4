"""What the frames of a file say about its signal, against the params that assume it.

Symbol rate and carrier are here; pulse, echoes and noise in `spectrum_findings`.
"""

import numpy as np

from pisces.sources.class_order import BIPOLAR, UNIPOLAR
from pisces.sources.finding import ANY, UNKNOWN, Expected, Finding, judged
from pisces.sources.signal_statistics import (
    Estimate,
    Statistics,
    beat_frequencies,
    interval,
    vertex,
)
from pisces.sources.spectrum_findings import (
    band_tilt,
    bandwidth,
    echo,
    half_rate_level,
    noise_flatness,
)

LONGEST_PERIOD, LINE_DEVIATIONS = 64, 6
"""Samples a symbol up to which a line is looked for, and how many standard deviations of what has
no line it must stand out by."""
LINES_FROM = 9
"""Bins of a frame's spectrum, below which its taper hides lines."""
SLIP = 0.5
"""Symbols by which a frame may be longer or shorter than `render.sps` says."""

OFFSET_FACTOR, OFFSET_TURNS = 10, 0.1
"""A spread of carrier offsets is followed up to so many times the expected one, and does no harm
below so many turns a frame."""


def findings(statistics: Statistics, expected: Expected) -> list[Finding]:
    """All findings of a file, warnings among them.

    Args:
        statistics: of its frames.
        expected: what the params assume.

    Returns:
        One of each kind, whether or not the frames can tell; but no echo where carrier offsets
        are a warning, and nothing of the spectrum where no symbol rate is known.
    """
    offsets = offset_spread(statistics, expected)
    found = [symbol_rate(statistics, expected), offsets, ask_kind(statistics)]
    sps = symbol_period(statistics, expected)
    if sps is None:
        return found

    found += [
        half_rate_level(statistics, sps, expected),
        band_tilt(statistics, sps),
        bandwidth(statistics, sps),
        noise_flatness(statistics, sps),
    ]
    # Large offsets turn an autocorrelation as an echo does.
    return found if offsets.warning else [*found, echo(statistics, sps)]


# The symbol rate


def symbol_rate(statistics: Statistics, expected: Expected) -> Finding:
    """Samples a symbol, by the line of |x|^2 at the symbol rate."""
    estimate = _samples_a_symbol(statistics)
    sps = expected.sps
    harmless = ANY
    if sps is not None:
        slip = SLIP * sps**2 / statistics.samples
        harmless = (sps - slip, sps + slip)
    return judged(
        "symbol_period",
        estimate,
        "samples a symbol",
        harmless=harmless,
        expected="" if sps is None else f"{sps:g}",
        param="render.sps",
        warning=f"the frames have {estimate.figure:.2f} samples a symbol, not render.sps = {sps}: "
        f"set render.sps to {estimate.figure:.0f}, or resample the file",
    )


def symbol_period(statistics: Statistics, expected: Expected) -> float | None:
    """Samples a symbol: measured, or else expected; None where neither is known."""
    measured = _samples_a_symbol(statistics).figure
    return expected.sps if np.isnan(measured) else measured


def _samples_a_symbol(statistics: Statistics) -> Estimate:
    beat = statistics.beat
    beat = beat[~np.isnan(beat).any(1)]  # (groups, frequencies)
    if len(beat) < 2:
        return UNKNOWN
    frequency = beat_frequencies(statistics.samples)
    slowest = max(1 / LONGEST_PERIOD, LINES_FROM / statistics.samples)
    tried = np.flatnonzero((frequency >= slowest) & (frequency < frequency[-2]))

    mean = beat.mean(0)
    around = np.ones(LINES_FROM) / LINES_FROM
    variance = np.convolve(beat.var(axis=0, ddof=1), around, mode="same") / len(beat)
    lines = tried[mean[tried] > LINE_DEVIATIONS * np.sqrt(variance[tried])]
    if not len(lines):
        return UNKNOWN
    # Side lobes of the line stand out as well, and from less noise, but none is as strong.
    strongest = lines[mean[lines].argmax()]
    near = np.arange(strongest - LINES_FROM, min(strongest + LINES_FROM, tried[-1]) + 1)
    peak = near[mean[near].argmax()]
    exact = peak + vertex(*beat[:, peak - 1 : peak + 2].T)
    return interval(1 / (exact * frequency[1]))


# The carrier


def offset_spread(statistics: Statistics, expected: Expected) -> Finding:
    """Standard deviation of the carrier offset, by quartiles, which stray lines hardly move."""
    quartiles = [
        np.subtract(*np.percentile(offsets, [75, 25])) if len(offsets) > 3 else np.nan
        for offsets in statistics.offsets
    ]
    of_normal = 1.349  # standard deviations between its quartiles
    estimate = interval(np.array(quartiles) / of_normal)
    std = expected.carrier_offset_std
    most = np.inf
    if std is not None:
        most = max(OFFSET_FACTOR * std, OFFSET_TURNS / statistics.samples)
    return judged(
        "carrier_offset_std",
        estimate,
        "cycles a sample",
        harmless=(0, most),
        expected="" if std is None else f"{std:g}, up to {most:.2g}",
        param="render.carrier_offset_std",
        warning=f"carrier offsets spread by {estimate.figure:.2g} cycles a sample, more than "
        f"{OFFSET_FACTOR} times render.carrier_offset_std = {std}: set it to "
        f"{estimate.figure:.1g}",
    )


def ask_kind(statistics: Statistics) -> Finding:
    """Share of the power of ASK in its carrier: none of bipolar levels, over half of unipolar."""
    medians = [np.median(shares) if len(shares) else np.nan for shares in statistics.carriers]
    estimate = interval(medians)
    kind, harmless = (
        ("unipolar", UNIPOLAR) if estimate.figure > UNIPOLAR[0] else ("bipolar", BIPOLAR)
    )
    finding = judged(
        "ask_carrier",
        estimate,
        "of the power",
        harmless=harmless,
        expected=f"bipolar below {BIPOLAR[1]}, unipolar above {UNIPOLAR[0]}",
        param="synthesize.ask",
        warning=f"{estimate.figure:.2f} of the power of ASK is in its carrier, as of neither "
        f"bipolar (below {BIPOLAR[1]}) nor unipolar levels (above {UNIPOLAR[0]})",
    )
    return finding.named(kind)
