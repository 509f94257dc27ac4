"""References without parameters: what textbook estimators say of a frame, blind to its carrier's phase, timing and SNR.

All take frames of one sample a symbol, `x` complex (n, symbols), with the share of the power that is signal, as the noise floor tells it.
"""

import numpy as np
import torch

from pisces.core.dsp import measured_snr, to_db
from pisces.core.modulations import LINEAR, constellation
from pisces.inputs import views

SCATTER = np.sqrt([2, 24, 4])
"""Of |C20|, |C40|, C42 of circular Gaussian noise of unit power, times sqrt(symbols): variances of x^2, x^4, and |x|^4 - 4 |x|^2."""


def named(modulations: tuple[str, ...]) -> tuple[str, ...]:
    """Those of which one sample a symbol shows a constellation: linear ones, without OQPSK, whose I and Q are half a symbol apart."""
    return tuple(m for m in modulations if m in LINEAR and m != "OQPSK")


def cumulants(x: np.ndarray) -> np.ndarray:
    """|C20|, |C40| and C42 of each row of complex (n, symbols): float64 (n, 3). Neither phase nor circular Gaussian noise changes them.

    Swami and Sadler, IEEE Trans. Commun. 48 (2000) 416: C20 = E x^2, C40 = E x^4 - 3 (E x^2)^2, C42 = E|x|^4 - |E x^2|^2 - 2 (E|x|^2)^2.
    """
    second, fourth, power = np.mean(x**2, -1), np.mean(x**4, -1), np.abs(x) ** 2
    c42 = np.mean(power**2, -1) - np.abs(second) ** 2 - 2 * np.mean(power, -1) ** 2
    return np.stack([np.abs(second), np.abs(fourth - 3 * second**2), c42], -1)


def kurtosis(modulation: str) -> float:
    """E|c|^4 of the ideal points, whose power is 1: 1 for PSK, 2 (that of noise) for OOK."""
    return float(np.mean(np.abs(constellation(modulation)) ** 4))


def nearest_constellation(
    x: np.ndarray, signal: np.ndarray, modulations: tuple[str, ...]
) -> np.ndarray:
    """Number in `modulations` of the constellation whose cumulants lie nearest: int64 (n,), the first among equals (8PSK to 32PSK).

    `x` of unit power, of which `signal` (n,) is signal. Each cumulant counts by how much it scatters in noise, so that the theoretical
    values, shrunk to the signal's power, are compared: dividing the measured ones by it would blow up their noise instead.
    """
    ideal = np.stack([cumulants(constellation(m)) for m in modulations])
    shrunk = ideal * signal[:, None, None] ** [1, 2, 2]  # (n, modulations, 3)
    return np.sum(((cumulants(x)[:, None] - shrunk) / SCATTER) ** 2, -1).argmin(-1)


def m2m4(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Linear SNR a symbol from the second and fourth moment, for constellations of kurtosis `k` (n,): float64 (n,).

    Pauluzzi and Beaulieu, IEEE Trans. Commun. 48 (2000) 1681: with M4 = k S^2 + 4 S V + 2 V^2 and M2 = S + V. It is 0 where the frame is no
    less Gaussian than noise, or the constellation itself is (OOK, k = 2), and infinite where no noise is needed.
    """
    power = np.abs(x) ** 2
    second, fourth = np.mean(power, -1), np.mean(power**2, -1)
    signal = np.sqrt(np.maximum(2 * second**2 - fourth, 0) / np.where(k < 2 - 1e-9, 2 - k, np.inf))
    noise = second - signal
    return np.divide(signal, noise, out=np.full_like(signal, np.inf), where=noise > 0)


def answers(
    iq: np.ndarray, modulations: tuple[str, ...], sps: int, rolloff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the three references say of complex frames (n, samples), each (n,).

    The number in `modulations`, all of them `named`, by cumulants (-1 where there are none); the SNR in dB over the whole band by the
    noise floor and by M2M4, -inf and inf where the estimate has it so. M2M4 takes the kurtosis that goes with the first answer.

    Raises:
        ValueError: where a frame leaves too few symbols, or `sps` no band without signal.
    """
    symbols = iq.shape[1] // sps
    if symbols <= 2 * views.EDGE or sps < 3:
        raise ValueError(
            f"frames of {iq.shape[1]} samples at render.sps = {sps} are too little for the stage limits, which needs {2 * views.EDGE + 1} "
            "symbols or more, and 3 or more samples each; correct render.sps, or leave the stage out"
        )
    snr = np.maximum(measured_snr(iq), 0)
    whole = torch.from_numpy(iq[:, : symbols * sps].astype(np.complex64))
    x = (
        views.symbol(whole, sps, rolloff).numpy().astype(complex)
    )  # (n, samples) -> (n, symbols - 2 EDGE)
    if not modulations:
        return np.full(len(iq), -1), to_db(snr), np.full(len(iq), -np.inf)
    chosen = nearest_constellation(x, sps * snr / (1 + sps * snr), modulations)
    by_moments = m2m4(x, np.array([kurtosis(m) for m in modulations])[chosen])
    return chosen, to_db(snr), to_db(by_moments / sps)
