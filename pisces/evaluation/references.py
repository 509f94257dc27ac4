"""Classifiers and SNR estimators without parameters: cumulants, the noise floor, M2M4.

What textbooks offer, blind to carrier phase, symbol timing and SNR: a model has to beat them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import shards
from pisces.core.dsp import measured_snr, to_complex, to_db
from pisces.core.modulations import LINEAR, Ask, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.core.snr_label import label_of
from pisces.inputs import views
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.settings import RenderSettings

SCATTER = np.sqrt([2, 24, 4])
"""Spread of |C20|, |C40| and C42 of unit-power circular Gaussian noise, times sqrt(symbols).

The standard deviations are those of the means of x^2, x^4 and |x|^4 - 4 |x|^2.
"""

NO_MODULATION = -1
"""Number of the modulation where there is none to choose from."""


class Estimates(NamedTuple):
    """Estimates of the references for n frames, each (n,)."""

    modulation: np.ndarray
    """Number in the modulations given, int64, by cumulants; `NO_MODULATION` without any."""
    noise_floor_db: np.ndarray
    """SNR over the whole band; -inf where no signal stands out."""
    m2m4_db: np.ndarray
    """SNR over the whole band, by M2M4 with the kurtosis of `modulation`; may be -inf and inf."""


def recognisable(modulations: tuple[str, ...]) -> tuple[str, ...]:
    """Those of which one sample a symbol shows a constellation: the linear ones without OQPSK.

    I and Q of OQPSK are half a symbol apart.
    """
    return tuple(m for m in modulations if m in LINEAR and m != "OQPSK")


def cumulants(x: np.ndarray) -> np.ndarray:
    """|C20|, |C40| and C42 of each row of complex (n, symbols): float64 (n, 3).

    Neither a phase nor circular Gaussian noise changes them. C20 = E x^2,
    C40 = E x^4 - 3 (E x^2)^2, C42 = E|x|^4 - |E x^2|^2 - 2 (E|x|^2)^2
    (Swami and Sadler, IEEE Trans. Commun. 48 (2000) 416).
    """
    power = np.abs(x) ** 2
    c20 = np.mean(x**2, -1)
    c40 = np.mean(x**4, -1) - 3 * c20**2
    c42 = np.mean(power**2, -1) - np.abs(c20) ** 2 - 2 * np.mean(power, -1) ** 2
    return np.stack([np.abs(c20), np.abs(c40), c42], -1)


def kurtosis(modulation: str, ask: Ask = "bipolar") -> float:
    """E|c|^4 of the ideal points, whose power is 1: 1 for PSK.

    It is 2, that of noise, for OOK and unipolar 4ASK.
    """
    return float(np.mean(np.abs(constellation(modulation, ask)) ** 4))


def nearest_constellation(
    x: np.ndarray, signal: np.ndarray, modulations: tuple[str, ...], ask: Ask = "bipolar"
) -> np.ndarray:
    """The constellation whose cumulants lie nearest to those of each frame.

    Each cumulant counts by how much it scatters in noise. The theoretical values are shrunk to the
    power of the signal: dividing the measured ones by it would blow up their noise instead.

    Args:
        x: complex (n, symbols) of unit power, one sample a symbol.
        signal: (n,), the share of that power that is signal, 0..1.
        modulations: names to choose from, all of them `recognisable`.
        ask: levels of ASK.

    Returns:
        Number in `modulations`, int64 (n,): the first among equals, as 8PSK to 32PSK are.
    """
    ideal = np.stack([cumulants(constellation(m, ask)) for m in modulations])
    shrunk = ideal * signal[:, None, None] ** [1, 2, 2]  # (n, modulations, 3)
    error = (cumulants(x)[:, None] - shrunk) / SCATTER
    return np.sum(error**2, -1).argmin(-1)


def m2m4(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Linear SNR a symbol from the second and fourth moment: float64 (n,).

    With signal power S and noise power V, M2 = S + V and M4 = k S^2 + 4 S V + 2 V^2
    (Pauluzzi and Beaulieu, IEEE Trans. Commun. 48 (2000) 1681). It is 0 where the frame is no less
    Gaussian than noise, or the constellation itself is (k = 2); infinite without noise.

    Args:
        x: complex (n, symbols), one sample a symbol.
        k: (n,), the `kurtosis` of the constellation of each frame.

    Returns:
        Linear SNRs (n,), 0 or more.
    """
    power = np.abs(x) ** 2
    second, fourth = np.mean(power, -1), np.mean(power**2, -1)

    gaussian = k >= 2 - 1e-9
    divisor = np.where(gaussian, np.inf, 2 - k)
    signal = np.sqrt(np.maximum(2 * second**2 - fourth, 0) / divisor)
    noise = second - signal
    return np.divide(signal, noise, out=np.full_like(signal, np.inf), where=noise > 0)


def estimate(
    iq: np.ndarray, modulations: tuple[str, ...], render: RenderSettings, ask: Ask = "bipolar"
) -> Estimates:
    """Estimates of the three references for frames.

    Args:
        iq: complex (n, samples).
        modulations: names to choose from, all of them `recognisable`.
        render: the receiver of the symbols: pulse, carrier offset, and samples a symbol, 3 or more,
            so that some band holds no signal.
        ask: levels of ASK.

    Returns:
        Modulation and SNR of each frame.

    Raises:
        ValueError: where a frame leaves too few symbols, or `sps` no band without signal.
    """
    sps = render.sps
    symbols = iq.shape[1] // sps
    least = 2 * EDGE + 1
    if symbols < least or sps < 3:
        raise ValueError(
            f"frames of {iq.shape[1]} samples at render.sps = {sps} are too little for the stage "
            f"limits, which needs {least} symbols or more, and 3 or more samples each; "
            "correct render.sps, or leave the stage out"
        )

    snr = np.maximum(measured_snr(iq), 0)
    if not modulations:
        nothing = np.full(len(iq), NO_MODULATION)
        return Estimates(nothing, to_db(snr), np.full(len(iq), -np.inf))

    whole = torch.from_numpy(iq[:, : symbols * sps].astype(np.complex64))
    x = views.symbols_of(whole, render).points.numpy().astype(complex)  # (n, symbols)
    x /= np.sqrt(np.mean(np.abs(x) ** 2, axis=1, keepdims=True))

    snr_a_symbol = sps * snr
    chosen = nearest_constellation(x, snr_a_symbol / (1 + snr_a_symbol), modulations, ask)
    kurtoses = np.array([kurtosis(m, ask) for m in modulations])
    by_moments = m2m4(x, kurtoses[chosen])
    return Estimates(chosen, to_db(snr), to_db(by_moments / sps))


def predict_frames(
    root: Path, predictions: Mapping[str, np.ndarray], render: RenderSettings
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Estimates of the references for the frames that a model was tested on.

    Args:
        root: IQ shards that hold the frames.
        predictions: as `inference.predict_frames` makes them; which frames, and which classes.
        render: the receiver of the symbols.

    Returns:
        Names of modulations by cumulants (n,), empty where there is none; and the estimates of
        the SNR (n,) by `noise floor` and `m2m4`, as labels in dB, clipped to their range.
    """
    modulations, snrs_db = predictions["modulations"], predictions["snrs_db"]
    frame = predictions["frame"]
    candidates = recognisable(tuple(modulations.tolist()))
    names = np.array([*candidates, ""])  # NO_MODULATION is the last
    ask = shards.ask(root)

    named = np.full(len(frame), "", modulations.dtype)
    estimates_db = {series: np.empty(len(frame)) for series in ("noise floor", "m2m4")}
    cells, cell_of = np.unique(frame[:, :2], axis=0, return_inverse=True)

    for number, (m, s) in enumerate(progress(cells, "limits, references")):
        at = np.flatnonzero(cell_of.ravel() == number)
        stored = shards.array(Cell(str(modulations[m]), int(snrs_db[s])).path(root), "iq")
        found = estimate(to_complex(stored[frame[at, 2]]), candidates, render, ask)

        named[at] = names[found.modulation]
        estimates_db["noise floor"][at] = found.noise_floor_db
        estimates_db["m2m4"][at] = found.m2m4_db

    lowest, highest = snrs_db.min(), snrs_db.max()
    convention = shards.snr_label(root)
    labels = {
        series: label_of(snr_db, convention).clip(lowest, highest)
        for series, snr_db in estimates_db.items()
    }
    return named, labels
