"""Powers of frames: the noise floor, the SNR that it shows, and decibels."""

import numpy as np
from scipy.signal.windows import tukey

LEAST_NOISE = 1e-15
"""Over the power of a frame: less than the rounding of float32 leaves."""


def to_complex(frames: np.ndarray) -> np.ndarray:
    """Complex128 (n, samples) from real frames (n, samples, 2), I then Q."""
    return frames[..., 0] + 1j * frames[..., 1].astype(np.float64)


def to_frames(iq: np.ndarray) -> np.ndarray:
    """Real float32 frames (n, samples, 2), I then Q, from complex ones (n, samples)."""
    return np.ascontiguousarray(iq, np.complex64).view(np.float32).reshape(*iq.shape, 2)


def noise_power(iq: np.ndarray) -> np.ndarray:
    """Power of white noise over the whole band, from complex frames (n, samples): float64 (n,).

    The periodogram's median over |f| > 0.25 cycles a sample, over ln 2 (the median of an
    exponential). About 500 bins tell it to 0.3 dB a frame. Tapered ends (Tukey, a quarter of the
    frame) keep the jump between a frame's last and first sample from leaking out of band. Without
    a taper it hides noise more than 30 dB under the signal.
    """
    samples = iq.shape[-1]
    window = tukey(samples, 0.25)
    periodogram = np.abs(np.fft.fft(iq * window)) ** 2 / np.sum(window**2)
    outside = np.abs(np.fft.fftfreq(samples)) > 0.25
    return np.median(periodogram[:, outside], axis=-1) / np.log(2)  # (n, samples) -> (n,)


def measured_snr(iq: np.ndarray) -> np.ndarray:
    """Linear SNR over the whole band of complex frames (n, samples), none all zero: float64 (n,).

    It is negative where the estimate of the noise exceeds the power of the frame, and at most that
    of `LEAST_NOISE`, as where all samples but the first are zero.
    """
    power = np.mean(np.abs(iq) ** 2, axis=-1)
    noise = np.maximum(noise_power(iq), LEAST_NOISE * power)
    return power / noise - 1


def to_db(power: np.ndarray) -> np.ndarray:
    """Decibels of linear powers, of any shape; -inf of zero."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(power)
