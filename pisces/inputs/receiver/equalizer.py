"""Matched filter and equaliser for a pulse that need not be Nyquist."""

from typing import NamedTuple

import torch

from pisces.inputs.receiver.spectrum import phasor
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
    taps, disturbance = _taps(response, signal=signal, noise=noise, sps=sps)
    return Equalized(_points_at(timing, band * response, taps), disturbance)


def _taps(
    response: torch.Tensor, *, signal: torch.Tensor, noise: torch.Tensor, sps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The equaliser's response at the frequencies of the symbols, (n, symbols), and what it leaves.

    Arguments are as of `equalize`; the disturbance is as in `Equalized`.
    """
    fold_lower, fold_upper = response.square().chunk(2, 1)
    fold = fold_lower + fold_upper  # (n, symbols)

    mean_fold = fold.mean(1, keepdim=True)
    symbol_power = signal / mean_fold
    loading = noise / (sps * symbol_power) + LEAST_LOADING * mean_fold
    equalizer = 1 / (fold + loading)

    # Of each frequency of the symbols, what comes out; the mean is what a symbol leaves in its own
    # point, the variance what it leaves in all others.
    passed = fold * equalizer
    of_others = symbol_power * (passed - passed.mean(1, keepdim=True)).square().mean(
        1, keepdim=True
    )
    of_noise = noise / sps * (passed * equalizer).mean(1, keepdim=True)
    return equalizer / sps, of_others + of_noise


def _points_at(timing: torch.Tensor, matched: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Equalised symbols at some instants.

    Args:
        timing: symbols, float32 (..., n, 1).
        matched: the band through the matched filter, complex (n, 2 * symbols).
        taps: as of `_taps`, float32 (n, symbols).

    Returns:
        Complex (..., n, symbols).
    """
    lower, upper = matched.chunk(2, -1)
    symbols = upper.shape[-1]
    rates = torch.arange(symbols, device=timing.device) / symbols

    # The halves are one symbol rate apart, where the ramp is the same times one factor.
    fold = upper + lower * phasor(-timing)
    return torch.fft.ifft(fold * phasor(timing * rates) * taps)


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
    matched = band * response
    taps, disturbance = _taps(response, signal=signal, noise=noise, sps=sps)
    points = _points_at(found.timing, matched, taps)

    rows = found.drift[:, 0].nonzero()[:, 0]
    if len(rows):
        shifts = STEP * torch.tensor([-1.0, 1.0], device=band.device)[:, None, None]
        early, late = _points_at(found.timing[rows] + shifts, matched[rows], taps[rows])

        symbols = points.shape[1]
        place = (torch.arange(symbols, device=band.device) + 0.5) / symbols - 0.5
        steps = found.drift[rows] * place / STEP  # (rows, symbols), from the timing of the frame
        bent = steps.square() * (late - 2 * points[rows] + early)
        points[rows] += (steps * (late - early) + bent) / 2
    return Equalized(points, disturbance)
