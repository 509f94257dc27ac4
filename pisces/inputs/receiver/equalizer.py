"""Matched filter and equaliser for a pulse that need not be Nyquist."""

from typing import NamedTuple

import torch

from pisces.inputs.receiver.spectrum import band_rates
from pisces.inputs.receiver.timing import Timing

STEP = 0.1
"""Symbols between the instants that a drifting frame is interpolated from."""
LEAST_LOADING = 1e-7
"""Over the mean of the fold: keeps a frequency that the pulse leaves empty from dividing by 0."""


class Equalized(NamedTuple):
    """Symbols of n frames, in the unit of the frames."""

    points: torch.Tensor
    """Complex (n, symbols): a real factor times the symbol, and a disturbance."""
    disturbance: torch.Tensor
    """Power in each point of noise and of other symbols, float32 (n, 1)."""


def equalize(
    band: torch.Tensor,
    response: torch.Tensor,
    timing: torch.Tensor,
    *,
    signal: torch.Tensor,
    noise: torch.Tensor,
    sps: int,
) -> Equalized:
    """One sample a symbol, by the matched filter and a linear MMSE equaliser at the symbol rate.

    The matched filter keeps all that a frame says about its symbols. Sampled at the symbol rate,
    the two halves of its band fall on each other; the interference between symbols that is left is
    the folded |P|^2, which the equaliser divides by (Proakis and Salehi, Digital Communications,
    5th ed., 9.4-2). With a root-raised cosine the fold is flat, and nothing is left to divide by.

    Args:
        band: spectrum as of `spectrum.occupied_band`, complex (n, 2 * symbols).
        response: of the pulse at its frequencies, float32 (1 or n, 2 * symbols), of any scale.
        timing: symbols, float32 (n, 1); interpolation is exact, by a phase ramp over the spectrum.
        signal: power of the signal, float32 (n, 1), above 0.
        noise: power of white noise over the whole band, float32 (n, 1).
        sps: samples a symbol.

    Returns:
        The symbols, and the power of what disturbs them.
    """
    symbols = band.shape[1] // 2
    turns = timing * band_rates(symbols).to(band.device)
    ramp = torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)

    lower, upper = (band * response * ramp).split(symbols, 1)
    fold_lower, fold_upper = response.square().split(symbols, 1)
    matched, fold = lower + upper, fold_lower + fold_upper  # (n, symbols)

    mean_fold = fold.mean(1, keepdim=True)
    symbol_power = signal / mean_fold
    loading = noise / (sps * symbol_power) + LEAST_LOADING * mean_fold
    equalizer = 1 / (fold + loading)
    points = torch.fft.ifft(matched * equalizer) / sps

    # Of each frequency of the symbols, what comes out; the mean is what a symbol leaves in its own
    # point, the variance what it leaves in all others.
    passed = fold * equalizer
    of_others = symbol_power * passed.var(1, correction=0, keepdim=True)
    of_noise = noise / sps * (passed * equalizer).mean(1, keepdim=True)
    return Equalized(points, of_others + of_noise)


def equalize_drifting(
    band: torch.Tensor,
    response: torch.Tensor,
    found: Timing,
    *,
    signal: torch.Tensor,
    noise: torch.Tensor,
    sps: int,
) -> Equalized:
    """As `equalize`, at instants that drift where `found` says so.

    There a parabola is laid through each symbol at its timing, and `STEP` before and after it.
    """
    equalized = equalize(band, response, found.timing, signal=signal, noise=noise, sps=sps)
    rows = found.drift[:, 0].nonzero()[:, 0]
    if not len(rows):
        return equalized

    def points_at(shift: float) -> torch.Tensor:
        return equalize(
            band[rows],
            response.expand(len(band), -1)[rows],
            found.timing[rows] + shift,
            signal=signal[rows],
            noise=noise[rows],
            sps=sps,
        ).points

    early, middle, late = points_at(-STEP), equalized.points[rows], points_at(STEP)
    symbols = middle.shape[1]
    place = (torch.arange(symbols, device=band.device) + 0.5) / symbols - 0.5
    steps = found.drift[rows] * place / STEP  # (rows, symbols), from the timing of the frame
    bent = steps.square() * (late - 2 * middle + early)
    equalized.points[rows] = middle + (steps * (late - early) + bent) / 2
    return equalized
