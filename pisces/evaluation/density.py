"""Log densities of symbols, read from tables over the plane by straight lines between places.

A symbol then costs the same whatever the order of its constellation.
"""

import math
from typing import NamedTuple

import torch
from torch.nn import functional

CELL = 0.4
"""Between the places of a table, in standard deviations of the noise along an axis."""
FURTHEST = 1.8
"""From 0, of any point: that of 256QAM is 1.63, of 8ASK 1.53, each at levels of up to 1.1."""
MARGIN = 5.0
"""Standard deviations of the noise along an axis, by which tables reach beyond `FURTHEST`."""
LEAST_EXPONENT = -60.0
"""Of a symbol's likelihood: below, floating point is slow first and has no logarithm then."""
NUMBERS_AT_ONCE = 2**18
"""Exponentials in memory at a time, so that they stay near the processor."""


class Lattice(NamedTuple):
    """A square lattice of places over the plane, centred at 0."""

    step: float
    side: int
    """Places along each axis, an odd number."""


class Corners(NamedTuple):
    """The four places around each symbol, one symbol after the other."""

    number: torch.Tensor
    """In the values of a table, int32 (..., 4 * symbols)."""
    share: torch.Tensor
    """What a straight line along each axis makes of it, float32 of the same shape."""

    def of(self, rows: torch.Tensor) -> "Corners":
        return Corners(self.number[rows], self.share[rows])

    def kept(self, which: torch.Tensor | None) -> "Corners":
        """With nothing of the symbols that are not kept; bool (..., symbols), None: all are."""
        if which is None:
            return self
        return Corners(self.number, self.share * which.repeat_interleave(4, -1))


class Table(NamedTuple):
    """What a symbol adds to log likelihoods, by where it lies."""

    lattice: Lattice
    values: torch.Tensor
    """float32 (side * side, columns)."""


def lattice_of(snr: float) -> Lattice:
    """Places `CELL` standard deviations of the noise apart, over all points and noise of an SNR."""
    noise_std = math.sqrt(0.5 / snr)
    half = math.ceil((FURTHEST + MARGIN * noise_std) / (CELL * noise_std))
    return Lattice(CELL * noise_std, 2 * half + 1)


def tabulate(lattice: Lattice, snr: float, alphabets: torch.Tensor) -> Table:
    """A table of log mean_k exp(-snr |r - c_k|^2) of a symbol r.

    Args:
        lattice: of places in the plane.
        snr: linear, a symbol.
        alphabets: complex points c, (columns, order).

    Returns:
        A column for each alphabet.
    """
    half = lattice.side // 2
    axis = torch.arange(-half, half + 1) * lattice.step
    places = torch.complex(*torch.meshgrid(axis, axis, indexing="ij")).flatten()
    values = _log_densities(places, snr, alphabets.to(places.dtype))
    return Table(lattice, _without_bias(values, lattice))


def _log_densities(places: torch.Tensor, snr: float, alphabets: torch.Tensor) -> torch.Tensor:
    """log mean_k exp(-snr |r - c_k|^2) at places (n,) under alphabets (columns, order).

    The exponent is linear in four numbers of a place, so that one matrix product makes all of them.

    Returns:
        float32 (n, columns).
    """
    ones = torch.ones(len(places))
    parts = torch.stack([places.real, places.imag, ones, places.abs().square()], 1)
    power = alphabets.abs().square()
    rows = (2 * alphabets.real, 2 * alphabets.imag, -power, -torch.ones_like(power))
    matrix = snr * torch.stack(rows).flatten(1)  # (4, columns * order)

    densities = []
    for some in parts.split(max(1, NUMBERS_AT_ONCE // matrix.shape[1])):
        exponents = (some @ matrix).clamp_min_(LEAST_EXPONENT)
        densities.append(exponents.exp_().view(-1, *alphabets.shape).mean(2))
    return torch.cat(densities).log_()


def _without_bias(values: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Values (places, columns) between which straight lines are right on the average.

    A line over a step h lies h^2 / 12 times the second derivative too high, mean over the step.
    That mean is taken off at the places.
    """
    planes = values.T.reshape(-1, 1, lattice.side, lattice.side)
    framed = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    curvature = functional.conv2d(framed, kernel)  # (columns, 1, side, side), times h^2
    return (planes - curvature / 12).flatten(1).T.contiguous()


def corners_of(x: torch.Tensor, lattice: Lattice) -> Corners:
    """Where symbols of any shape lie; what lies outside counts as on the border."""
    place = torch.view_as_real(x) / lattice.step + lattice.side // 2
    place = place.clamp(0, lattice.side - 1.001)
    corner = place.int()
    along_x, along_y = (place - corner).unbind(-1)

    first = corner[..., 0] * lattice.side + corner[..., 1]
    number = torch.stack([first, first + 1, first + lattice.side, first + lattice.side + 1], -1)
    of_both = along_x * along_y
    shares = [1 - along_x - along_y + of_both, along_y - of_both, along_x - of_both, of_both]
    return Corners(number.flatten(-2), torch.stack(shares, -1).flatten(-2))


def sums(corners: Corners, table: Table) -> torch.Tensor:
    """Values of a table between corners (..., 4 * symbols), summed over symbols: (..., columns)."""
    of_each = corners.number.shape[-1]
    summed = functional.embedding_bag(
        corners.number.view(-1, of_each),
        table.values,
        per_sample_weights=corners.share.view(-1, of_each),
        mode="sum",
    )
    return summed.view(*corners.number.shape[:-1], table.values.shape[1])
