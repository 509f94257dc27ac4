"""Whether the class order can be right, by features of the frames of each column of `Y`.

The `classes.txt` that comes with RML2018.01A names the columns in another order than the data have.
Noise is taken as white and circular. Its power is that of the band outside |f| = 0.25 cycles a
sample, where a signal of three or more samples a symbol has nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pisces.core.dsp import noise_power
from pisces.core.modulations import CLASS_ORDERS, FAMILIES, MODULATIONS

Features = Mapping[str, float]
Ranges = tuple[tuple[float, float], ...]
Rule = Mapping[str, Ranges]
"""Feature -> ranges of which it must lie in one."""

BIPOLAR, UNIPOLAR = (0, 0.25), (0.45, np.inf)
"""`carrier` of ASK: with levels about zero, and with levels 0, 1, 2, ..., as in RML2018.01A."""
CARRIER = (0.3, 0.95)
"""`carrier` of a class that has one, and more than that."""

ASK = ("4ASK", "8ASK")

REAL, COMPLEX = ((0.7, np.inf),), ((0, 0.5),)
CONSTANT, RINGED, SPREAD = ((0, 1.1),), ((1.08, 1.35),), ((1.32, np.inf),)
FOURFOLD, NOT_FOURFOLD, HARDLY_FOURFOLD = ((0.43, np.inf),), ((0, 0.43),), ((0, 0.55),)

PSK_OF_FOUR = {"c20": COMPLEX, "c40": FOURFOLD, "kurtosis": RINGED}
PSK_OF_MORE = {"c20": COMPLEX, "c40": NOT_FOURFOLD, "kurtosis": RINGED}
MANY_AMPLITUDES = {"c20": COMPLEX, "c40": HARDLY_FOURFOLD, "kurtosis": SPREAD}

RULES_BY_GROUP: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (("OOK",), {"c20": REAL, "carrier": ((0.3, np.inf),)}),
    (("BPSK",), {"c20": REAL, "carrier": (BIPOLAR,)}),
    (ASK, {"c20": REAL, "carrier": (BIPOLAR, UNIPOLAR)}),
    (("QPSK", "OQPSK"), PSK_OF_FOUR),
    (("8PSK", "16PSK", "32PSK"), PSK_OF_MORE),
    ((*FAMILIES["APSK"], *FAMILIES["QAM"]), MANY_AMPLITUDES),
    (("FM", "GMSK"), {"kurtosis": CONSTANT}),
)
RULES: dict[str, Rule] = {
    name: rule
    for names, rule in RULES_BY_GROUP
    for name in names
    if name in MODULATIONS  # whose frames may be under the wrong column; RML2016.10a labels by name
}
"""Class -> its rule, for the `features` of RRC-shaped frames without a matched filter.

Measured with GNU Radio at 8 samples a symbol and roll-off 0.35:
- c20 is 1 for real constellations and at most 0.25 for complex ones.
- carrier is 0.02 for bipolar ASK, 0.5 for OOK, 0.64 and 0.70 for unipolar 4ASK and 8ASK.
- c40 is 0.7 for QPSK and OQPSK, 0.4 for 16QAM, 0.2 (its floor) for the rest.
- kurtosis is 1.0 for FM and GMSK, 1.2 for PSK, 1.4 to 1.5 for APSK and QAM.

AM has no rule: its baseband differs from generator to generator.
"""

JUDGED_FROM_DB, JUDGED_SNRS, JUDGED_FRAMES = 10, 3, 32
"""The order is judged on 32 frames a class of the three highest SNRs, from 10 dB up."""

TINY = float(np.finfo(np.float64).tiny)
"""Keeps powers of zero from dividing by zero."""

MIN_SYMBOLS = 24
"""Symbols a frame below which random constellations show lines as strong as the rules allow."""

MAX_CONTRADICTED = 0.5
"""Share of contradicted classes beyond which no known order is believed.

Columns in a random order exceed it 99 times in 100. The right order shows 0.3 with Rayleigh fading
spread over half a symbol, and about 0.5 at two symbols, where shapes are gone.
"""


class OrderFindings(NamedTuple):
    """What the frames show about a class order."""

    checked: int
    """Classes that have a rule and frames to check it on."""
    contradicted: dict[str, str]
    """Class -> why its frames contradict its rule."""
    ask: str = ""
    """Levels of 4ASK and 8ASK: bipolar, unipolar, or mixed; empty where there are none."""


def features(iq: np.ndarray) -> dict[str, float]:
    """What tells modulations apart in complex frames (n, samples): medians over the frames.

    All are corrected for noise.
    - `carrier`: share of the signal's power in one spectral line.
    - `c20`, `c40`: strength of the strongest line of x^2 and x^4 over E|s|^2 and E|s|^4. These are
      the cumulants of Swami & Sadler (2000), but at any carrier offset.
    - `kurtosis`: E|s|^4 / (E|s|^2)^2.
    - `symbols`: frame length times equivalent bandwidth, one a symbol for a linear modulation. A
      carrier beside it, which has no width, is left out.
    """
    noise = noise_power(iq)
    power = np.mean(np.abs(iq) ** 2, axis=-1)
    signal = np.maximum(power - noise, 1e-3 * power)

    # E|s + n|^4 for circular noise, solved for E|s|^4; by Jensen it cannot be less than signal^2.
    of_both = np.mean(np.abs(iq) ** 4, axis=-1)
    fourth = np.maximum(of_both - 4 * signal * noise - 2 * noise**2, 0.5 * signal**2)

    per_frame = {
        "carrier": _strongest_line(iq) ** 2 / signal,
        "c20": _strongest_line(iq**2) / signal,
        "c40": _strongest_line(iq**4) / fourth,
        "kurtosis": fourth / signal**2,
    }
    medians = {name: float(np.median(values)) for name, values in per_frame.items()}
    has_carrier = CARRIER[0] < medians["carrier"] < CARRIER[1]
    return medians | {"symbols": _symbols(_without_line(iq) if has_carrier else iq)}


def _strongest_line(x: np.ndarray) -> np.ndarray:
    """Amplitude (n,) of the strongest complex exponential in each of (n, samples).

    Padding fourfold finds it within 3 %.
    """
    samples = x.shape[-1]
    spectrum = np.fft.fft(x, 4 * samples)
    return np.abs(spectrum).max(-1) / samples


def _without_line(iq: np.ndarray) -> np.ndarray:
    """Frames (n, samples) less the strongest complex exponential in each."""
    samples = iq.shape[-1]
    frequency = np.abs(np.fft.fft(iq, 4 * samples)).argmax(-1) / (4 * samples)
    line = np.exp(2j * np.pi * frequency[:, None] * np.arange(samples))
    amplitude = np.mean(iq * line.conj(), axis=-1, keepdims=True)
    return iq - amplitude * line


def _symbols(iq: np.ndarray) -> float:
    """As `features`; broken frames change it little while they are fewer than the others."""
    spectra = np.abs(np.fft.fft(iq)) ** 2  # (n, samples)
    unit = spectra / np.maximum(spectra.mean(axis=1, keepdims=True), TINY)
    spectrum = np.median(unit, axis=0)
    return float(np.sum(spectrum) ** 2 / max(np.sum(spectrum**2), TINY))


def check_classes(classes: tuple[str, ...], measured: Mapping[int, Features]) -> OrderFindings:
    """Compares the `features` of each column of `Y` with the rule of the class it stands for."""
    checked = 0
    contradicted = {}
    for column, found in measured.items():
        name = classes[column]
        if name not in RULES:
            continue
        checked += 1
        reasons = [
            f"{feature} {found[feature]:.2f} not {_listed(ranges)}"
            for feature, ranges in RULES[name].items()
            if not any(low <= found[feature] <= high for low, high in ranges)
        ]
        if reasons:
            contradicted[name] = ", ".join(reasons)
    return OrderFindings(checked, contradicted, _ask_levels(classes, measured))


def _listed(ranges: Ranges) -> str:
    return " or ".join(_interval(low, high) for low, high in ranges)


def _interval(low: float, high: float) -> str:
    if high == np.inf:
        return f"> {low}"
    return f"< {high}" if low == 0 else f"{low}..{high}"


def _ask_levels(classes: tuple[str, ...], measured: Mapping[int, Features]) -> str:
    """As `OrderFindings.ask`."""
    carriers = [found["carrier"] for column, found in measured.items() if classes[column] in ASK]
    if not carriers:
        return ""
    if max(carriers) <= BIPOLAR[1]:
        return "bipolar"
    return "unipolar" if min(carriers) >= UNIPOLAR[0] else "mixed"


def check_class_order(
    class_order: str, measured: Mapping[int, Features], source: str
) -> OrderFindings:
    """Compares a class order with the frames of each column of `Y`.

    Odd classes are let pass, and heavy multipath makes several odd, as long as no other known order
    does better. Frames of too few symbols (`MIN_SYMBOLS`) say nothing and leave nothing checked.

    Args:
        class_order: a key of `CLASS_ORDERS`.
        measured: column -> `features` of its frames, for the columns with frames of high SNR.
        source: name of the file, for the message.

    Returns:
        How many classes were checked, and which are contradicted and why.

    Raises:
        ValueError: when the frames contradict more classes than they do under another order, or
            more than the share `MAX_CONTRADICTED` of them.
    """
    symbols = [found["symbols"] for found in measured.values()]
    if not symbols or np.median(symbols) < MIN_SYMBOLS:
        return OrderFindings(0, {})

    findings = {order: check_classes(classes, measured) for order, classes in CLASS_ORDERS.items()}
    given = findings[class_order]
    best = min(findings, key=lambda order: len(findings[order].contradicted))
    fewest = len(findings[best].contradicted)
    is_best = len(given.contradicted) == fewest
    if is_best and (_only_levels_are_odd(given) or not _mostly_wrong(given)):
        return given

    if is_best or _mostly_wrong(findings[best]):
        advice = (
            f"no known order ({', '.join(CLASS_ORDERS)}) fits: "
            "find out which modulation each column of Y stands for"
        )
    else:
        advice = f"{best} fits, with {fewest} contradicted: set data.class_order to {best}"
    reasons = "; ".join(f"{name}: {why}" for name, why in given.contradicted.items())
    raise ValueError(
        f"data.class_order = {class_order} cannot be right for {source}: the frames contradict "
        f"{len(given.contradicted)} of {given.checked} classes ({reasons}); {advice}"
    )


def _only_levels_are_odd(findings: OrderFindings) -> bool:
    """Whether all that contradicts is ASK with levels of neither kind, which is real all the same.

    A wrong order would show complex constellations under such names.
    """
    return all(
        name in ASK and why.startswith("carrier ") and "," not in why
        for name, why in findings.contradicted.items()
    )


def _mostly_wrong(findings: OrderFindings) -> bool:
    return len(findings.contradicted) > MAX_CONTRADICTED * findings.checked
