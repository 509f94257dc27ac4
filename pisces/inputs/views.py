"""Constellation views of a frame: the same samples looked at so that timing, noise or changes of phase become visible.

Each view turns frames, complex64 (n, samples), into points of the complex plane, complex64 (n, points), in a unit of its own
that no other frame decides. All of it is linear algebra and FFTs on whole batches, wherever the frames lie.
"""

from functools import cache

import numpy as np
import torch
from scipy import signal

EDGE = 4
"""Symbols left out at either end of a frame, where the matched filter lacks half of its input."""
FLOOR_DB = -70.0
"""Level at the centre of the `noise` view."""
STOP_BAND_DB = 80.0
"""Attenuation of the signal's band in the `noise` view: below `FLOOR_DB`."""


def symbol(iq: torch.Tensor, sps: int, rolloff: float) -> torch.Tensor:
    """One sample a symbol, at the instant where the eye is open, over their RMS: (n, samples) -> (n, samples / sps - 2 EDGE).

    Root-raised-cosine matched filter, then timing by the square law: the power of the filtered signal beats at the symbol rate,
    and the phase of that line is the timing (Oerder and Meyr, IEEE Trans. Commun. 36 (1988), eq. 5). The line has no strength
    where I and Q are half a symbol apart (OQPSK): the timing is then arbitrary. Interpolation is exact, by a phase ramp over the
    spectrum.

    Raises:
        ValueError: when the samples are not a whole number of symbols, or too few of them.
    """
    band, timing = _matched_band(iq, sps, rolloff)
    symbols = band.shape[1] // 2
    ramp = torch.arange(-symbols, symbols, device=iq.device) / symbols
    lower, upper = (band * torch.exp(2j * torch.pi * timing * ramp)).split(symbols, 1)
    points = torch.fft.ifft(lower + upper)[:, EDGE:-EDGE]
    return points / _rms(points)


def _matched_band(iq: torch.Tensor, sps: int, rolloff: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectrum after the matched filter, (n, 2 * symbols) from minus to plus one symbol rate, and timing (n, 1) in symbols, -1/2..1/2."""
    samples = iq.shape[1]
    symbols = samples // sps
    if samples % sps or symbols <= 2 * EDGE:
        raise ValueError(
            f"frames of {samples} samples are not a whole number, above {2 * EDGE}, of symbols of render.sps = {sps} samples; "
            "correct it, or leave symbol out of render.views"
        )
    # Nothing lies beyond one symbol rate: that band is all that has to be kept, (n, 2 * symbols) from -1/sps to 1/sps.
    spectrum = torch.fft.fft(iq)
    band = torch.cat([spectrum[:, -symbols:], spectrum[:, :symbols]], 1) * _matched(
        symbols, rolloff
    ).to(iq.device)
    lower, upper = band.split(
        symbols, 1
    )  # a symbol rate apart, so a product of the two is the line at the symbol rate
    return band, -torch.angle((upper * lower.conj()).sum(1, keepdim=True)) / (2 * torch.pi)


@cache
def _matched(symbols: int, rolloff: float) -> torch.Tensor:
    """Root-raised-cosine response at 2 * `symbols` frequencies from minus to plus one symbol rate."""
    rate = np.abs(np.arange(-symbols, symbols) / symbols)
    return torch.from_numpy(
        np.cos(np.pi / 2 * np.clip((rate - 0.5) / rolloff + 0.5, 0, 1)).astype(np.float32)
    )


def noise(iq: torch.Tensor, sps: int) -> torch.Tensor:
    """What lies outside the signal's band, with its angle kept and its level as radius: (n, samples) -> (n, samples - taps + 1).

    The level is in dB above `FLOOR_DB`, where 0 dB is the power of the frame, scaled as if the noise was white: the points of
    white noise at -30 dB lie around radius -30 - `FLOOR_DB`. Whatever is lower than `FLOOR_DB` lies at the centre.

    Raises:
        ValueError: when the signal's band is (nearly) the whole band, or the frames are shorter than the filter.
    """
    if sps < 3:
        raise ValueError(
            f"render.sps = {sps} leaves no band without signal; noise needs 3 or more: leave it out of render.views"
        )
    taps = _high_pass(sps)
    if iq.shape[1] < len(taps):
        raise ValueError(
            f"frames of {iq.shape[1]} samples are shorter than the {len(taps)} taps that noise needs at render.sps = {sps}; "
            "leave it out of render.views"
        )
    response = torch.fft.fft(torch.from_numpy(taps).to(iq.device), iq.shape[1])
    outside = torch.fft.ifft(torch.fft.fft(iq) * response)[
        :, len(taps) - 1 :
    ]  # without what the circular filter wraps around
    level_db = 20 * torch.log10(outside.abs() / (_rms(iq) * float(np.linalg.norm(taps))))
    return torch.polar((level_db - FLOOR_DB).clamp_min(0), outside.angle())


@cache
def _high_pass(sps: int) -> np.ndarray:
    """Linear-phase taps (odd number,): stop band to 3/4 of a symbol rate, the edge at a roll-off of 1/2; pass band from 5/4."""
    count, beta = signal.kaiserord(
        STOP_BAND_DB, width=1 / sps
    )  # relative to half of the sample rate
    return signal.firwin(count | 1, 2 / sps, window=("kaiser", beta), pass_zero=False).astype(
        np.float32
    )


def differential(iq: torch.Tensor, delay: int) -> torch.Tensor:
    """x[n] conj(x[n - delay]) over its RMS: (n, samples) -> (n, samples - delay). It turns with the carrier offset, not the phase.

    Raises:
        ValueError: when no sample is left.
    """
    if delay >= iq.shape[1]:
        raise ValueError(
            f"render.delay = {delay} is no less than the {iq.shape[1]} samples of a frame; make it smaller"
        )
    points = iq[:, delay:] * iq[:, :-delay].conj()
    return points / _rms(points)


def samples_of(view: str, iq: torch.Tensor, sps: int, rolloff: float, delay: int) -> torch.Tensor:
    """Numbers of the samples that each point of a view stands for: frames (n, samples) -> int64 (n, points, samples a point).

    `raw`: the sample itself; `symbol`: the sps samples nearest to its instant; `noise`: the sample in the middle of the
    filter; `differential`: the two factors. Filters reach further, but weigh these most.
    """
    n, samples = iq.shape
    every = torch.arange(samples, device=iq.device)
    match view:
        case "raw":
            behind = every[:, None]
        case "symbol":
            timing = _matched_band(iq, sps, rolloff)[1]
            first = (
                ((timing - 0.5) * sps).ceil().long()
            )  # of symbol 0, (n, 1); rounded once, so that no two symbols share a sample
            behind = (first + every[EDGE * sps : samples - EDGE * sps]).unflatten(1, (-1, sps))
        case "noise":
            reach = len(_high_pass(sps)) // 2
            behind = every[reach : samples - reach, None]
        case _:
            behind = torch.stack([every[delay:], every[:-delay]], 1)
    return behind.expand(n, -1, -1)


def _rms(points: torch.Tensor) -> torch.Tensor:
    """Root mean square of each row, (n, 1); 1 where all is zero."""
    power = points.abs().square().mean(1, keepdim=True)
    return torch.where(power > 0, power, 1).sqrt()
