"""Which frames have symbols that the law can speak of, and their level.

The law holds timing, carrier offset and level as the receiver found them. Where these are wrong, or
where a modulation has no points, there is nothing to hold: such frames are refused, each with its
reason.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pisces.evaluation import references
from pisces.evaluation.likelihood import phasors
from pisces.inputs.receiver.chain import Symbols
from pisces.inputs.receiver.spectrum import power_of
from pisces.truth.law import SymbolLaw, unit_level
from pisces.truth.posterior import hypotheses

NO_POINTS = "no constellation points, one sample a symbol"
LOW_SNR = "SNR too low for the timing"
BEYOND = "carrier offset beyond reach"
MISFIT = "symbols further from their points than noise takes them"

REASONS = (NO_POINTS, LOW_SNR, BEYOND, MISFIT)
"""Why frames are refused, in the order in which they are looked for."""

TIMING_ERROR = 1 / 16
"""Symbols, a standard deviation of the timing that counts as found: 0.4 radians of the line that
tells it. A line that wanders further may be lost altogether."""
TIMING_SHARE = 0.1
"""Power of other symbols, by an error of the timing, over that of the noise: 0.4 dB more of it."""
DEVIATIONS = 5.0
"""Standard deviations beyond which noise is not taken to reach."""
LEVEL_STEPS = 2
"""Of expectation maximisation, behind the level: the first one leaves a few per mille."""


class Found(NamedTuple):
    """Symbols of n frames as the law takes them."""

    x: torch.Tensor
    """Of unit signal power, complex64 (n, symbols)."""
    level: torch.Tensor
    """The points of the view over `x`, float32 (n, 1)."""
    refused: tuple[str, ...]
    """Of each frame why it is refused, one of `REASONS`; empty where it is not."""


def find(
    received: Symbols, modulations: Sequence[str], law: SymbolLaw, response: torch.Tensor
) -> Found:
    """Symbols on the scale of the law, and which frames are refused.

    - A modulation without points: analog and frequency shift keying have none, and I and Q of OQPSK
      are half a symbol apart.
    - An SNR below `least_snr` of the pulse.
    - A carrier offset that the receiver could not follow.
    - Symbols too far from the points of their modulation. Noise alone puts the sum of |w|^2 snr
      over N symbols above N + 5 sqrt(N) with a probability below 1e-5, and the nearest points are
      no further than those sent. So another pulse shows, an echo, or an error of the timing.

    Args:
        received: of n frames.
        modulations: true names of the frames, (n,).
        law: where the symbols come from.
        response: of the pulse at `spectrum.band_rates`, float32 (1 or n, 2 * symbols).

    Returns:
        As many frames, those that are refused too.
    """
    x, level = leveled(received.points, law)
    too_low = law.snr < least_snr(response.mean(0))
    misfit = _misfit(x, modulations, law)

    refused = []
    for row, modulation in enumerate(modulations):
        signs = {
            NO_POINTS: modulation not in law.classes,
            LOW_SNR: too_low,
            BEYOND: bool(received.beyond[row]),
            MISFIT: bool(misfit[row]),
        }
        refused.append(next((reason for reason in REASONS if signs[reason]), ""))
    return Found(x, level, tuple(refused))


def why_without_points(modulation: str) -> str:
    """One line on a class that the law cannot speak of.

    >>> why_without_points("FM")
    'FM has no constellation points, one sample a symbol: its frames are not redrawn'
    """
    assert not references.recognisable((modulation,)), f"{modulation} has points"
    return f"{modulation} has {NO_POINTS}: its frames are not redrawn"


def least_snr(response: torch.Tensor) -> float:
    """Linear SNR of a symbol from which on the receiver's timing can be relied on.

    Of N symbols of unit power at SNR g the beats of `receiver.timing` have the mean s = int Q^2,
    and about it the variance V = (1 / g) int Q^2 (P^2 + M^2) + (1 / g^2) int Q^2. There
    M(f) = P(1 - f) is the mirrored response and Q = P M; integrals run over 0 to 1 symbol rate,
    with P^2 + M^2 = 1 in the mean. Half of V turns the line, so that the timing errs by
    sqrt(V / 2 N) / (2 pi s) symbols. An error e puts xi e^2 of other symbols' power into each:
    behind the equaliser, with F = P^2 / (P^2 + M^2), xi = (2 pi)^2 int (f F - (1 - f) (1 - F))^2.
    That may be at most `TIMING_SHARE` / g, and the error `TIMING_ERROR`.

    Args:
        response: of the pulse at `spectrum.band_rates`, float32 (2 * symbols,).

    Returns:
        The least g.
    """
    by_noise, by_square = timing_variance(response)
    isi = _isi_of_timing(response.double())

    # The share isi * variance * g is a constant and a part that falls as 1 / g.
    left = TIMING_SHARE - isi * by_noise
    for_isi = isi * by_square / left if left > 0 else math.inf

    # The root of by_noise / g + by_square / g^2 = most.
    most = TIMING_ERROR**2
    for_line = (by_noise + math.sqrt(by_noise**2 + 4 * most * by_square)) / (2 * most)
    return max(for_isi, for_line)


def timing_variance(response: torch.Tensor) -> tuple[float, float]:
    """Variance of the timing in symbols^2: the part that falls as 1 / g, and that as 1 / g^2.

    `response` and formula are as of `least_snr`.
    """
    pulse, mirror = _edges(response.double())
    product = (pulse * mirror).square()
    line = float(product.mean())
    if line <= 0:
        return math.inf, math.inf
    by_noise = float((product * (pulse.square() + mirror.square())).mean())
    to_symbols = len(pulse) * 2 * (2 * math.pi * line) ** 2
    return by_noise / to_symbols, line / to_symbols


def _isi_of_timing(response: torch.Tensor) -> float:
    """xi of `least_snr`."""
    pulse, mirror = _edges(response)
    fold = pulse.square() + mirror.square()
    passed = pulse.square() / fold.clamp_min(1e-9)
    rates = torch.arange(len(pulse)) / len(pulse)
    slope = rates * passed - (1 - rates) * (1 - passed)
    return (2 * math.pi) ** 2 * float(slope.square().mean())


def _edges(response: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P and M of `least_snr`, (symbols,) each, at 0 to 1 symbol rate."""
    mirror, pulse = response.chunk(2)  # of a real pulse P(f - 1) = P(1 - f)
    power = (pulse.square() + mirror.square()).mean()
    return pulse / power.sqrt(), mirror / power.sqrt()


def leveled(points: torch.Tensor, law: SymbolLaw) -> tuple[torch.Tensor, torch.Tensor]:
    """Symbols of unit signal power, and what the points of the view are over them.

    The mean power of a frame tells its level to 2 % or so, since its symbols scatter. Their points
    tell it better: the likeliest class and phase say which points were sent, and the level follows
    by expectation maximisation (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39 (1977) 1).

    Args:
        points: complex64 (n, symbols).
        law: where they come from.

    Returns:
        The symbols complex64 (n, symbols), and the level float32 (n, 1).
    """
    x = unit_level(points, law.snr)
    best = hypotheses(x, law).best(len(x))
    classes, phase = best.classes, best.phase

    for c in classes.unique().tolist():
        rows = torch.nonzero(classes == c)[:, 0]
        upright = x[rows] * phasors(-phase[rows])[:, None]
        for _ in range(LEVEL_STEPS):
            gain = _gain(upright, torch.from_numpy(law.points[c]), law.judged_snr)
            upright, x[rows] = upright / gain, x[rows] / gain
    level = (power_of(points).sum(1) / power_of(x).sum(1)).sqrt()
    return x, level[:, None]


def _gain(upright: torch.Tensor, points: torch.Tensor, snr: float) -> torch.Tensor:
    """Amplitude of symbols (n, symbols) without phase, over that of the points: (n, 1)."""
    points = points.to(upright.dtype)
    closeness = -snr * power_of(upright[..., None] - points)  # (n, symbols, order)
    share = closeness.softmax(2)
    expected = (share * points).sum(2)
    along = (upright * expected.conj()).real.sum(1, keepdim=True)
    return along / (share * power_of(points)).sum((1, 2))[:, None]


def _misfit(x: torch.Tensor, modulations: Sequence[str], law: SymbolLaw) -> torch.Tensor:
    """Whether symbols are further from the points of their modulation than noise: bool (n,)."""
    found = torch.zeros(len(x), dtype=torch.bool)
    most = 1 + DEVIATIONS / math.sqrt(x.shape[1])
    for c, name in enumerate(law.classes):
        rows = torch.tensor([one == name for one in modulations]).nonzero()[:, 0]
        if not len(rows):
            continue
        alone = SymbolLaw((name,), law.snr, law.ask)
        phase = hypotheses(x[rows], alone).best(len(rows)).phase
        upright = x[rows] * phasors(-phase)[:, None]

        points = torch.from_numpy(law.points[c]).to(x.dtype)
        nearest = power_of(upright[..., None] - points).amin(2)  # (rows, symbols)
        found[rows] = nearest.mean(1) * law.snr > most
    return found
