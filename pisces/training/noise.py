"""Random bits and white noise from one seed a frame, on any device."""

import math

import torch


def white_noise(seed: torch.Tensor, samples: int) -> torch.Tensor:
    """Circular Gaussian noise of unit mean power: complex64 (n, samples).

    Each row comes from its own seed (n,) int64 alone, and not from `torch.Generator`, which would
    have to be seeded and used frame by frame. Box & Muller (1958) on 32-bit halves.
    """
    bits = splitmix64(seed, samples)
    u, v = (bits & 0xFFFFFFFF) + 1, _shift_right(bits, 32)
    magnitude = (-torch.log(u.float() * 2**-32)).sqrt()
    return torch.polar(magnitude, 2 * math.pi * 2**-32 * v.float())


def splitmix64(seed: torch.Tensor, count: int) -> torch.Tensor:
    """The first `count` outputs of SplitMix64 for each seed (n,): int64 (n, count), 64 bits each.

    Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, fig. 16,
    with its constants as signed numbers.
    """
    counter = torch.arange(1, count + 1, device=seed.device)
    z = seed[:, None] + counter * _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift_right(z, 31)


def _signed(bits: int) -> int:
    return bits - 2**64


def _shift_right(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Shift that brings in zeros, not copies of the sign as `>>` does."""
    return (bits >> count) & (2 ** (64 - count) - 1)
