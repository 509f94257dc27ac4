"""Symbols of short frames, which are mostly edge: least squares on a bank of timings."""

from functools import cache
from typing import NamedTuple

import torch

from pisces.inputs.receiver.equalizer import Equalized
from pisces.inputs.receiver.spectrum import band_rates

MOST_SYMBOLS = 24
"""In a frame that counts as short."""
TIMINGS = 64
"""In the bank, over one symbol."""
BESIDE = 6
"""Symbols beyond either end of the frame whose pulses are taken to reach into it."""
LOADING = 1e-4
"""Diagonal loading while timings are compared, over a pulse's energy.

Symbols beside the frame, of which hardly anything is seen, would else fit noise.
"""
LEAST_LOADING = 1e-6
"""Diagonal loading of the solution at least, over a pulse's energy."""


class _Bank(NamedTuple):
    """What symbols at `TIMINGS` make of a frame; of n symbols, n + 2 `BESIDE` = k are unknown."""

    pulses: torch.Tensor
    """The frame that each symbol makes: float32 (TIMINGS, samples, k)."""
    gram: torch.Tensor
    """Inner products of the pulses: float32 (TIMINGS, k, k)."""
    inverse: torch.Tensor
    """Of the loaded inner products: float32 (TIMINGS, k, k)."""
    energy: float
    """Of a whole pulse, over the samples."""


def receive_short(
    iq: torch.Tensor, response: torch.Tensor, *, signal: torch.Tensor, noise: torch.Tensor, sps: int
) -> tuple[Equalized, torch.Tensor]:
    """Symbols and timing that explain whole frames best.

    A frame is the sum of its symbols' pulses, of those beyond its ends too. At each timing of the
    bank this is a linear least squares problem; the timing with the least residual is taken, and
    the symbols are then those of least mean square error at the frame's noise (Kay, Fundamentals of
    Statistical Signal Processing, vol. I, 12.5).

    Args:
        iq: frames, complex64 (n, samples).
        response: of the pulse at `spectrum.band_rates`, float32 (1 or n, 2 * symbols).
        signal: power of the signal, float32 (n, 1), above 0.
        noise: power of white noise over the whole band, float32 (n, 1).
        sps: samples a symbol.

    Returns:
        All symbols whose middle lies in the frame, and the timing float32 (n, 1), 0 to 1.
    """
    symbols = iq.shape[1] // sps
    points = torch.empty(len(iq), symbols, dtype=iq.dtype, device=iq.device)
    disturbance, timing = (torch.empty(len(iq), 1, device=iq.device) for _ in range(2))

    shapes, shape_of = response.unique(dim=0, return_inverse=True)
    shape_of = shape_of.expand(len(iq))
    for number, shape in enumerate(shapes):
        rows = torch.nonzero(shape_of == number)[:, 0]
        bank = _bank(tuple(shape.tolist()), sps, iq.device)

        best = _best_timing(iq[rows], bank)
        symbol_power = sps * signal[rows] / bank.energy
        found = _solve(iq[rows], bank, best, symbol_power=symbol_power, noise=noise[rows])
        points[rows], disturbance[rows] = found
        timing[rows] = best[:, None] / TIMINGS
    return Equalized(points, disturbance), timing


@cache
def _bank(response: tuple[float, ...], sps: int, device: torch.device) -> _Bank:
    """The bank of a pulse, from its response at `spectrum.band_rates`, on a device."""
    symbols = len(response) // 2
    rates = band_rates(symbols).double()
    instants = torch.arange(symbols * sps).double() / sps
    middles = torch.arange(-BESIDE, symbols + BESIDE) + _timings()[:, None]  # (TIMINGS, k), symbols

    # The response is real and even, so the pulse is a sum of cosines; it repeats every `symbols`
    # symbols, and is cut off where it would.
    at_samples = _phasors(instants[:, None] * rates) * torch.tensor(response).double()
    at_middles = _phasors(-middles[:, None] * rates[:, None])  # (TIMINGS, rates, k)
    pulses = (at_samples @ at_middles).real / symbols  # (TIMINGS, samples, k)
    since = instants[:, None] - middles[:, None]
    pulses = torch.where(since.abs() < min(BESIDE, symbols / 2), pulses, 0)

    energy = float(pulses.square().sum(1).amax())
    gram = pulses.mT @ pulses
    inverse = torch.linalg.inv(gram + LOADING * energy * torch.eye(middles.shape[1]))
    pulses, gram, inverse = (one.float().to(device) for one in (pulses, gram, inverse))
    return _Bank(pulses, gram, inverse, energy)


def _timings() -> torch.Tensor:
    """Those of the bank, in symbols: float64 (TIMINGS,)."""
    return torch.arange(TIMINGS).double() / TIMINGS


def _phasors(turns: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)


def _best_timing(iq: torch.Tensor, bank: _Bank) -> torch.Tensor:
    """Number of the timing that explains most of the energy of each frame: int64 (n,)."""
    parts = torch.view_as_real(iq).permute(0, 2, 1)  # (n, 2, samples)
    along = torch.einsum("nps,tsk->tnpk", parts, bank.pulses)
    solved = along @ bank.inverse[:, None]
    explained = (along * solved).sum((2, 3))  # (TIMINGS, n)
    return explained.argmax(0)


def _solve(
    iq: torch.Tensor,
    bank: _Bank,
    timing: torch.Tensor,
    *,
    symbol_power: torch.Tensor,
    noise: torch.Tensor,
) -> Equalized:
    """Symbols of least mean square error.

    Args:
        iq: complex64 (n, samples).
        bank: of the pulse.
        timing: numbers in the bank, int64 (n,).
        symbol_power: mean power of the symbols, float32 (n, 1).
        noise: power of white noise in each sample, float32 (n, 1).

    Returns:
        The symbols whose middle lies in the frame.
    """
    gram = bank.gram[timing]  # (n, k, k)
    loading = noise / symbol_power + LEAST_LOADING * bank.energy
    inverse = torch.linalg.inv(gram + loading[..., None] * torch.eye(gram.shape[1]).to(gram))

    parts = torch.view_as_real(iq)  # (n, samples, 2)
    along = bank.pulses[timing].mT @ parts  # (n, k, 2)
    inner = slice(BESIDE, -BESIDE)
    points = torch.view_as_complex((inverse @ along)[:, inner].contiguous())

    passed = inverse @ gram  # of each symbol into each point
    own = passed.diagonal(dim1=1, dim2=2)
    of_others = symbol_power * (passed.square().sum(2) - own.square())[:, inner]
    of_noise = noise * (passed @ inverse).diagonal(dim1=1, dim2=2)[:, inner]
    return Equalized(points, (of_others + of_noise).mean(1, keepdim=True))
