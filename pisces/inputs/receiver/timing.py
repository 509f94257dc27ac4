"""Symbol timing of frames, blind to modulation, carrier and level."""

import math

import torch

OFFSET_LINE_WINS = 2.0
"""How much stronger the line of staggered I and Q must be before its timing is taken."""


def square_law_lines(band: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines at the symbol rate: of the power |x|^2, and of staggered I and Q in x^2.

    The power of a linear modulation beats at the symbol rate, and the phase of that line is the
    timing (Oerder and Meyr, IEEE Trans. Commun. 36 (1988), eq. 5). Where I and Q are half a symbol
    apart (OQPSK) their two beats cancel in |x|^2 = I^2 + Q^2, but add up in x^2 = I^2 - Q^2 + 2jIQ,
    which the carrier's phase turns: the two lines of x^2, at plus and minus the symbol rate, then
    tell both.

    Args:
        band: matched spectrum of tapered frames as of `spectrum.occupied_band`, complex
            (n, 2 * symbols).

    Returns:
        The line of |x|^2, complex (n, 1); and L+ conj(L-) of the lines of x^2 at plus and minus the
        symbol rate, complex (n, 1), whose root has the unit of the first.
    """
    lower, upper = band.chunk(2, 1)  # a symbol rate apart: their product is the line
    of_power = (upper * lower.conj()).sum(1, keepdim=True)

    # Bins k and j of x make bin k + j of x^2: those that add up to plus or minus one symbol rate.
    symbols = band.shape[1] // 2
    above, below = band[:, symbols + 1 :], band[:, 1:symbols]
    plus = (above * above.flip(1)).sum(1, keepdim=True)
    minus = (below * below.flip(1)).sum(1, keepdim=True)
    return of_power, plus * minus.conj()


def timing_of(band: torch.Tensor) -> torch.Tensor:
    """Where the eye is open: symbol k is at sample (k + timing) * sps of its frame.

    Of frames with staggered I and Q it is the instant of one of the two, I or Q.

    Args:
        band: as of `square_law_lines`.

    Returns:
        float32 (n, 1) in symbols, -1/2 to 1/2.
    """
    of_power, of_square = square_law_lines(band)
    timing = -of_power.angle() / (2 * math.pi)
    staggered = -of_square.angle() / (4 * math.pi)

    strength = of_square.abs().sqrt()
    return torch.where(strength > OFFSET_LINE_WINS * of_power.abs(), staggered, timing)
