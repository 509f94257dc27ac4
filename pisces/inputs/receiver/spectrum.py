"""The occupied band of frames, and the power of the noise beside it."""

import math
from functools import cache

import torch
from scipy.signal.windows import tukey

TAPERED = 0.25
"""Share of a frame over which its ends rise and fall: a Tukey window."""


@cache
def taper(samples: int) -> torch.Tensor:
    """Tukey window, float32 (samples,), for frames whose end does not meet their start.

    The jump between them spreads over the whole band: it hides noise more than 30 dB below the
    signal, and it turns the line that timing is read from.
    """
    return torch.from_numpy(tukey(samples, TAPERED)).float()


def occupied_band(iq: torch.Tensor, symbols: int) -> torch.Tensor:
    """Spectrum from minus to plus one symbol rate, beyond which there is no signal.

    Args:
        iq: complex64 (n, samples).
        symbols: in a frame; samples a whole number of times as many, two or more.

    Returns:
        complex64 (n, 2 * symbols), at frequencies -1 to 1 symbol rates in steps of 1 / symbols.
    """
    spectrum = torch.fft.fft(iq)
    return torch.cat([spectrum[:, -symbols:], spectrum[:, :symbols]], 1)


def band_rates(symbols: int) -> torch.Tensor:
    """Frequencies of `occupied_band`, in symbol rates: float32 (2 * symbols,)."""
    return torch.arange(-symbols, symbols) / symbols


def noise_power(iq: torch.Tensor, sps: int) -> torch.Tensor:
    """Power of white noise over the whole band, from what lies outside the signal's.

    The median of the periodogram of the tapered frame beyond one symbol rate, over ln 2, which is
    the median of an exponential; see `core.dsp.noise_power`.

    Args:
        iq: complex64 (n, samples).
        sps: samples a symbol. Below 3 no band is without signal: the noise then counts as none.

    Returns:
        float32 (n, 1).
    """
    samples = iq.shape[1]
    if sps < 3:
        return torch.zeros(len(iq), 1, device=iq.device)
    window = taper(samples).to(iq.device)
    periodogram = torch.fft.fft(iq * window).abs().square() / window.square().sum()

    frequency = torch.fft.fftfreq(samples, device=iq.device).abs()
    outside = periodogram[:, frequency > 1 / sps]  # (n, samples) -> (n, bins)
    return outside.quantile(0.5, dim=1, keepdim=True) / math.log(2)
