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
"""Diagonal loading while timings are compared, of a pulse's energy: symbols beside the frame, of
which hardly anything is seen, would else fit noise."""


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

    def to(self, device: torch.device) -> "_Bank":
        return _Bank(
            self.pulses.to(device), self.gram.to(device), self.inverse.to(device), self.energy
        )


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
    left, gain, timing = (torch.empty(len(iq), 1, device=iq.device) for _ in range(3))

    shapes, shape_of = response.unique(dim=0, return_inverse=True)
    shape_of = shape_of.expand(len(iq))
    for number, shape in enumerate(shapes):
        rows = torch.nonzero(shape_of == number)[:, 0]
        bank = _bank(tuple(shape.tolist()), sps).to(iq.device)

        best = _best_timing(iq[rows], bank)
        loading = noise[rows] * bank.energy / (sps * signal[rows])
        found = _solve(iq[rows], bank, best, loading)
        points[rows], gain[rows] = found.points, found.gain
        left[rows] = found.noise * noise[rows]
        timing[rows] = best[:, None] / TIMINGS
    return Equalized(points, left, gain), timing


@cache
def _bank(response: tuple[float, ...], sps: int) -> _Bank:
    """The bank of a pulse, from its response at `spectrum.band_rates`."""
    symbols = len(response) // 2
    rates = band_rates(symbols).double()
    instants = torch.arange(symbols * sps).double() / sps
    numbers = torch.arange(-BESIDE, symbols + BESIDE)
    timings = torch.arange(TIMINGS).double() / TIMINGS

    since = instants[:, None] - numbers - timings[:, None, None]  # (TIMINGS, samples, k), symbols
    # The response is real and even, so the pulse is a sum of cosines; it repeats every `symbols`
    # symbols, and is cut off where it would.
    waves = torch.cos(2 * torch.pi * since[..., None] * rates)
    pulses = (waves @ torch.tensor(response).double()) / symbols
    pulses = torch.where(since.abs() < min(BESIDE, symbols / 2), pulses, 0)

    energy = float(pulses.square().sum(1).amax())
    gram = pulses.mT @ pulses
    inverse = torch.linalg.inv(gram + LOADING * energy * torch.eye(len(numbers)))
    return _Bank(pulses.float(), gram.float(), inverse.float(), energy)


def _best_timing(iq: torch.Tensor, bank: _Bank) -> torch.Tensor:
    """Number of the timing that explains most of the energy of each frame: int64 (n,)."""
    parts = torch.view_as_real(iq).permute(0, 2, 1)  # (n, 2, samples)
    along = torch.einsum("nps,tsk->tnpk", parts, bank.pulses)
    solved = along @ bank.inverse[:, None]
    explained = (along * solved).sum((2, 3))  # (TIMINGS, n)
    return explained.argmax(0)


def _solve(iq: torch.Tensor, bank: _Bank, timing: torch.Tensor, loading: torch.Tensor) -> Equalized:
    """Symbols of least mean square error.

    Args:
        iq: complex64 (n, samples).
        bank: of the pulse.
        timing: numbers in the bank, int64 (n,).
        loading: power of the noise over that of the symbols, float32 (n, 1).

    Returns:
        The symbols of the frame; `noise` is what noise of unit power a sample leaves in them.
    """
    gram = bank.gram[timing]  # (n, k, k)
    identity = torch.eye(gram.shape[1], device=iq.device)
    floor = 1e-6 * bank.energy
    inverse = torch.linalg.inv(gram + (loading + floor)[..., None] * identity)

    parts = torch.view_as_real(iq)  # (n, samples, 2)
    along = bank.pulses[timing].mT @ parts  # (n, k, 2)
    inner = slice(BESIDE, -BESIDE)
    points = torch.view_as_complex((inverse @ along)[:, inner].contiguous())

    gains = inverse @ gram  # of each symbol in each point
    noise = (gains @ inverse).diagonal(dim1=1, dim2=2)[:, inner].mean(1, keepdim=True)
    gain = gains.square().sum(2)[:, inner].mean(1, keepdim=True)
    return Equalized(points, noise, gain)
