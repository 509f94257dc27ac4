"""Complex numbers as pairs of real tensors, and their Fourier transform as matrix products.

Exchange formats for graphs have no complex numbers, and few runtimes have an FFT.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn


@dataclass(frozen=True)
class Pair:
    """Complex numbers of any shape."""

    re: torch.Tensor
    im: torch.Tensor

    @classmethod
    def of(cls, numbers: torch.Tensor) -> Self:
        """The pair of a complex tensor."""
        return cls(numbers.real.contiguous(), numbers.imag.contiguous())

    @classmethod
    def polar(cls, magnitude: torch.Tensor | float, angle: torch.Tensor) -> Self:
        """Of a magnitude and an angle in radians."""
        return cls(magnitude * angle.cos(), magnitude * angle.sin())

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Pair":
        """Both parts, changed alike."""
        return Pair(change(self.re), change(self.im))

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.re + other.re, self.im + other.im)

    def __sub__(self, other: "Pair") -> "Pair":
        return Pair(self.re - other.re, self.im - other.im)

    def __mul__(self, other: "Pair | torch.Tensor | float") -> "Pair":
        if not isinstance(other, Pair):
            return Pair(self.re * other, self.im * other)
        re = self.re * other.re - self.im * other.im
        im = self.re * other.im + self.im * other.re
        return Pair(re, im)

    def conj(self) -> "Pair":
        return Pair(self.re, -self.im)

    def power(self) -> torch.Tensor:
        """|z|^2."""
        return self.re.square() + self.im.square()

    def angle(self) -> torch.Tensor:
        """Radians, -pi to pi."""
        return torch.atan2(self.im, self.re)

    def sum(self, dim: int, keepdim: bool = False) -> "Pair":
        return self.each(lambda part: part.sum(dim, keepdim=keepdim))

    def stacked(self) -> torch.Tensor:
        """Real and imaginary part along a last axis: (..., 2)."""
        return torch.stack([self.re, self.im], -1)

    def __getitem__(self, index: Any) -> "Pair":
        return self.each(lambda part: part[index])

    def halves(self) -> "tuple[Pair, Pair]":
        """The first and the second half of the last axis."""
        half = self.re.shape[-1] // 2
        return self[..., :half], self[..., half:]


def where(condition: torch.Tensor, one: Pair, other: Pair) -> Pair:
    """As `torch.where`."""
    re = torch.where(condition, one.re, other.re)
    return Pair(re, torch.where(condition, one.im, other.im))


def joined(parts: list[Pair], dim: int) -> Pair:
    """As `torch.cat`."""
    re = torch.cat([part.re for part in parts], dim)
    return Pair(re, torch.cat([part.im for part in parts], dim))


class Dft(nn.Module):
    """The Fourier transform over the last axis, as `torch.fft.fft`, or `ifft` where `inverse`.

    A length that is a product a * b takes two products with small matrices and one with phasors
    between them (Cooley and Tukey, Math. Comput. 19 (1965) 297): for 1 024 points 16 times fewer
    multiplications than one with a matrix of the whole length.
    """

    first: torch.Tensor
    second: torch.Tensor
    twiddle_re: torch.Tensor
    twiddle_im: torch.Tensor

    def __init__(self, length: int, *, inverse: bool = False) -> None:
        super().__init__()
        sign = 1 if inverse else -1
        scale = 1 / length if inverse else 1.0
        # The divisor nearest to the root; 1 of a prime.
        self.rows = max(a for a in range(1, math.isqrt(length) + 1) if length % a == 0)
        self.of_each = length // self.rows

        a, b = torch.arange(self.rows), torch.arange(self.of_each)
        turns = sign * a[:, None] * b / length
        phasors = Pair.polar(1.0, 2 * math.pi * turns.double())  # (rows, of each)
        self.register_buffer("twiddle_re", phasors.re.float(), persistent=False)
        self.register_buffer("twiddle_im", phasors.im.float(), persistent=False)
        self.register_buffer("first", _matrix(self.rows, sign, 1.0), persistent=False)
        self.register_buffer("second", _matrix(self.of_each, sign, scale), persistent=False)

    def forward(self, numbers: Pair) -> Pair:
        # (..., length) -> (..., of each, rows): sample `of_each` * row + place
        split = numbers.each(lambda part: part.unflatten(-1, (self.rows, self.of_each)).mT)
        rows = _product(split, self.first).each(lambda part: part.mT)  # (..., rows, of each)
        turned = rows * Pair(self.twiddle_re, self.twiddle_im)
        # Bin row + `rows` * place
        return _product(turned, self.second).each(lambda part: part.mT.flatten(-2))


def _matrix(length: int, sign: int, scale: float) -> torch.Tensor:
    """Of the transform of real and imaginary parts side by side: float32 (2 * length, 2 * length).

    Args:
        length: points.
        sign: of the exponent, -1 forward.
        scale: factor on all.

    Returns:
        What a row vector of parts is multiplied by.
    """
    numbers = torch.arange(length)
    # Whole turns are taken off before they cost digits.
    turns = (numbers[:, None] * numbers % length).double() / length
    phasors = Pair.polar(scale, sign * 2 * math.pi * turns)
    from_re = torch.cat([phasors.re, phasors.im], 1)
    from_im = torch.cat([-phasors.im, phasors.re], 1)
    return torch.cat([from_re, from_im]).float()


def _product(numbers: Pair, matrix: torch.Tensor) -> Pair:
    """Row vectors (..., length) times a matrix as of `_matrix`."""
    together = torch.cat([numbers.re, numbers.im], -1) @ matrix
    re, im = together.chunk(2, -1)
    return Pair(re, im)
