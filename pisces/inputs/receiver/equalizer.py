"""Matched filter and equaliser for a pulse that need not be Nyquist."""

from typing import NamedTuple

import torch

from pisces.inputs.receiver.spectrum import band_rates


class Equalized(NamedTuple):
    """Symbols of n frames, in the unit of the frames."""

    points: torch.Tensor
    """Complex (n, symbols)."""
    noise: torch.Tensor
    """Power of the noise in each point, float32 (n, 1)."""
    gain: torch.Tensor
    """Power gain of the symbols in the points, float32 (n, 1), below 1 where noise is strong."""


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
        The symbols, and what is known of noise and gain in them.
    """
    symbols = band.shape[1] // 2
    ramp = torch.exp(2j * torch.pi * timing * band_rates(symbols).to(band.device))

    # Sampled at the symbol rate, the two halves of the band fall on each other.
    lower, upper = (band * response * ramp).split(symbols, 1)
    fold_lower, fold_upper = response.square().split(symbols, 1)
    matched, fold = lower + upper, fold_lower + fold_upper  # (n, symbols)

    symbol_power = signal / fold.mean(1, keepdim=True)
    loading = noise / (sps * symbol_power)
    points = torch.fft.ifft(matched / (fold + loading)) / sps

    noise_left = noise / sps * (fold / (fold + loading).square()).mean(1, keepdim=True)
    gain = (fold / (fold + loading)).square().mean(1, keepdim=True)
    return Equalized(points, noise_left, gain)
