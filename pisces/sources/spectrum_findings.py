"""What the mean spectrum and the autocorrelations of frames say about pulse, echoes and noise."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from pisces.core.pulses import rml2018_response, rrc_response
from pisces.sources.finding import ANY, UNKNOWN, Expected, Finding, judged
from pisces.sources.signal_statistics import Estimate, Statistics, expected_spectrum, interval

PASS_BAND = 0.1
"""Frequencies in symbol rates that the level at half the symbol rate is compared with."""
HALF_RATE = np.linspace(0.48, 0.52, 5)
"""Half the symbol rate: about it, root-raised cosines are as much above as below."""
HALF_RATE_TOLERANCE_DB = 0.3
"""Pulses within it count as the same; the known ones are 3 dB apart."""
TILTED = np.linspace(0.2, 0.6, 21)
"""Frequencies in symbol rates at which both sides of the band are compared."""
TILT_TOLERANCE_DB = 0.5

NOISE_FROM_RATE, NOISE_BANDS, NOISE_UP_TO = 1.2, 4, 0.4
"""Noise is compared in so many bands from 1.2 symbol rates up, where no pulse reaches, unless less
than 0.1 cycles a sample is left."""
NOISE_TOLERANCE_DB = 1.0
"""Half a step of labels 2 dB apart."""

ECHO_LAGS, ECHO_TOLERANCE = 8, 0.1
"""Echoes are looked for at 1/2, 1, 3/2, ... symbols; the -20 dB of a mild one does no harm."""

DRAWN_UP_TO, DRAWN_FLOOR_DB = 1.5, -60
"""Symbol rates, and the lowest level, of `spectrum_table`."""


def spectrum_table(statistics: Statistics | None, sps: float | None) -> pd.DataFrame:
    """The mean power spectrum of clear frames over frequency, for plots/audit_spectrum.csv.

    Columns: `rate` (symbol rates), `power_db` (over the pass band), `low_db`, `high_db` (95 %
    interval). None of it is below `DRAWN_FLOOR_DB`. Empty where there is nothing to show.
    """
    columns = ["rate", "power_db", "low_db", "high_db"]
    if statistics is None or sps is None or np.isnan(statistics.spectrum).all():
        return pd.DataFrame(columns=columns, dtype=float)
    rates, spectrum = _rates(statistics.samples, sps), _ascending(statistics.spectrum)
    shown = np.abs(rates) <= DRAWN_UP_TO
    relative = spectrum[:, shown] / _pass_band(rates, spectrum)[:, None]
    estimates = np.array([interval(column) for column in relative.T])
    with np.errstate(divide="ignore"):
        levels_db = 10 * np.log10(np.maximum(estimates, 10 ** (DRAWN_FLOOR_DB / 10)))
    return pd.DataFrame(np.column_stack([rates[shown], levels_db]), columns=columns)


# The pulse


def _rates(samples: int, sps: float) -> np.ndarray:
    """Frequencies of the bins of a spectrum in symbol rates, ascending."""
    return np.fft.fftshift(np.fft.fftfreq(samples)) * sps


def _ascending(spectrum: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(spectrum, axes=-1)


def _pass_band(rates: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    return spectrum[:, np.abs(rates) <= PASS_BAND].mean(1)  # (groups, samples) -> (groups,)


def _levels(rates: np.ndarray, spectrum: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Mean level (groups,) over frequencies `at`, in symbol rates."""
    return np.array([np.interp(at, rates, group).mean() for group in spectrum])


def _ratio_db(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Decibels, NaN where a level is not above the noise."""
    known = (above > 0) & (below > 0)
    ratio = np.divide(above, below, where=known, out=np.full_like(above, np.nan))
    return 10 * np.log10(ratio)


PULSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rrc": lambda rates: rrc_response(rates, 0.35),  # of any roll-off: half its power there
    "rc": lambda rates: rrc_response(rates, 0.35) ** 2,
    "rml2018": rml2018_response,
}


def known_levels_db(samples: int, sps: float) -> dict[str, float]:
    """`half_rate_level` of each of the known pulses, through the window of frames."""
    spectra = np.stack([expected_spectrum(pulse, samples, sps) for pulse in PULSES.values()])
    levels_db = _half_rate_db(_rates(samples, sps), _ascending(spectra))
    return dict(zip(PULSES, levels_db.tolist(), strict=True))


def _half_rate_db(rates: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Level (n,) of spectra (n, samples) at half the symbol rate over that of the pass band."""
    both_sides = _levels(rates, spectra, HALF_RATE) + _levels(rates, spectra, -HALF_RATE)
    return _ratio_db(both_sides / 2, _pass_band(rates, spectra))


def half_rate_level(statistics: Statistics, sps: float, expected: Expected) -> Finding:
    """Power at half the symbol rate over that of the pass band, and the pulse that has it.

    It is a warning where it is that of no known pulse, or not that of the pulse in the params.
    """
    rates, spectrum = _rates(statistics.samples, sps), _ascending(statistics.spectrum)
    estimate = interval(_half_rate_db(rates, spectrum))

    known = known_levels_db(statistics.samples, sps)
    listed = ", ".join(f"{name} {value:.1f}" for name, value in known.items())
    nearest = min(known, key=lambda name: abs(known[name] - estimate.figure))
    if expected.pulse in known:
        pulse, why = expected.pulse, f"not that of render.pulse = {expected.pulse}"
    else:
        pulse, why = nearest, "that of no known pulse: an echo common to all frames, or a filter"

    finding = judged(
        "half_rate_level",
        estimate,
        "dB",
        harmless=(known[pulse] - HALF_RATE_TOLERANCE_DB, known[pulse] + HALF_RATE_TOLERANCE_DB),
        expected=listed,
        param="render.pulse",
        warning=f"the power at half the symbol rate is {estimate.figure:.1f} dB over that of the "
        f"pass band ({listed}), {why}; render.pulse: estimated reads the file by its own",
    )
    return finding.named(nearest)


def band_tilt(statistics: Statistics, sps: float) -> Finding:
    """Upper over lower side of the band: 0 dB for any pulse that is real or symmetric in time."""
    rates, spectrum = _rates(statistics.samples, sps), _ascending(statistics.spectrum)
    upper, lower = (_levels(rates, spectrum, sign * TILTED) for sign in (1, -1))
    estimate = interval(_ratio_db(upper, lower))
    return judged(
        "band_tilt",
        estimate,
        "dB",
        harmless=(-TILT_TOLERANCE_DB, TILT_TOLERANCE_DB),
        expected="0",
        param="render.pulse",
        warning=f"the upper side of the band is {estimate.figure:+.1f} dB over the lower: an echo "
        "or a filter common to all frames, or a common carrier offset; equalise the file",
    )


def bandwidth(statistics: Statistics, sps: float) -> Finding:
    """Width of the band that holds 99 % of the power, in symbol rates."""
    rates, spectrum = _rates(statistics.samples, sps), _ascending(statistics.spectrum)
    estimate = interval([_width(rates, group) for group in spectrum])
    known = {
        f"rrc {rolloff}": partial(rrc_response, rolloff=rolloff) for rolloff in (0.2, 0.35, 0.5)
    }
    listed = [
        f"{name} {_width(rates, _ascending(expected_spectrum(pulse, len(rates), sps))):.2f}"
        for name, pulse in (known | {"rml2018": rml2018_response}).items()
    ]
    return judged(
        "bandwidth_99",
        estimate,
        "symbol rates",
        harmless=ANY,
        expected=", ".join(listed),
        param="render.rolloff",
        warning="",
    )


def _width(rates: np.ndarray, power: np.ndarray) -> float:
    """Of the band that holds 99 % of the power within plus and minus one symbol rate."""
    distance = np.abs(rates[np.abs(rates) <= 1])
    order = np.argsort(distance, kind="stable")
    inside = np.cumsum(power[np.abs(rates) <= 1][order])
    if not inside[-1] > 0:
        return np.nan
    last = np.argmax(inside >= 0.99 * inside[-1])
    return float(2 * distance[order][last])


def echo(statistics: Statistics, sps: float) -> Finding:
    """Amplitude of an echo whose phase differs from frame to frame, over the direct path.

    Without one the mean of `Statistics.skewness` is zero; an echo of amplitude a makes it about
    a^2 / 2 at its delay.
    """
    lags = np.unique(np.round(np.arange(1, ECHO_LAGS + 1) * sps / 2).astype(int))
    lags = lags[(lags > 0) & (lags <= statistics.skewness.shape[1])]
    squares = statistics.skewness[:, lags - 1]  # (groups, lags)
    by_lag = [
        (interval(column, tests=len(lags)), lag / sps)
        for column, lag in zip(squares.T, lags, strict=True)
    ]
    of_square, delay = max(by_lag, default=(UNKNOWN, np.nan))
    estimate = Estimate(*np.sqrt(2 * np.maximum(of_square, 0)))
    return judged(
        "echo",
        estimate,
        "of the direct path",
        harmless=(0, ECHO_TOLERANCE),
        expected=f"below {ECHO_TOLERANCE}",
        param="render.equalizer",
        warning="the spectra of frames differ as if each had an echo of amplitude "
        f"{estimate.figure:.2f}, {delay:.1f} symbols late: symbols overlap; "
        "render.equalizer: blind removes it from the view symbol, and a model of other inputs can "
        "be trained on frames with such echoes (synthesize.multipath)",
    )


# The noise


def noise_flatness(statistics: Statistics, sps: float) -> Finding:
    """How far the noise in any band beside the signal's is from that in all of them."""
    lowest = NOISE_FROM_RATE / sps
    frequency = np.abs(np.fft.fftfreq(statistics.samples))
    estimate = UNKNOWN
    if lowest <= NOISE_UP_TO:
        edges = np.linspace(lowest, 0.5, NOISE_BANDS + 1)
        bands = np.stack(
            [
                statistics.noise[:, (frequency >= low) & (frequency <= high)].mean(1)
                for low, high in pairwise(edges)
            ]
        )  # (bands, groups)
        over_mean_db = _ratio_db(bands, np.broadcast_to(bands.mean(0), bands.shape))
        by_band = [interval(band, tests=NOISE_BANDS) for band in over_mean_db]
        estimate = max(by_band, key=lambda one: abs(one.figure))
    return judged(
        "noise_flatness",
        estimate,
        "dB",
        harmless=(-NOISE_TOLERANCE_DB, NOISE_TOLERANCE_DB),
        expected="0",
        param="data.path",
        warning="the noise beside the signal is not white: in one band it is "
        f"{estimate.figure:+.1f} dB over the mean of all, as behind the low-pass filter of a "
        "receiver; the noise floor, and SNRs measured from it, are wrong: give frames at the full "
        "bandwidth of the noise",
    )
