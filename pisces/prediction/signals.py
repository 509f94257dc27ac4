"""Statistics of frames that tell signals apart which the views may show alike.

Four questions that need no model: is the band filled as the pulse fills it, do neighbouring symbols
depend on each other, do symbols lie as those of the named modulation, and how strong is the signal?
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from pisces.core.modulations import TWINS
from pisces.inputs import views
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.receiver.spectrum import (
    noise_power,
    occupied_band,
    power_of,
    tapered_spectrum,
)
from pisces.inputs.settings import RenderSettings

SPECTRUM = ("ripple", "level", "tilt")
NEIGHBOURS = ("product", "product_squared", "second_product", "envelope")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the amplitudes of symbols."""
MOMENTS = (
    *("fourth", "sixth", "mean", "mean_square", "mean_fourth", "mean_eighth"),
    *(f"amplitude_{quantile}" for quantile in QUANTILES),
)
SPACINGS = {
    "16QAM": (2 / 5) ** 0.5,
    "32QAM": (1 / 5) ** 0.5,
    "64QAM": (2 / 21) ** 0.5,
    "128QAM": (2 / 41) ** 0.5,
    "256QAM": (2 / 85) ** 0.5,
}
"""Between neighbouring points of unit power, along either axis."""
POWERS = {"16PSK": 16, "32PSK": 32}
"""That take all points of a constellation to one."""
GRID = (*SPACINGS, *POWERS)
RINGED = ("8PSK", "16PSK", "32PSK")
"""Whose phases alone tell one from another."""
LEVELS = torch.linspace(0.92, 1.08, 9)
"""Of the symbols, over that of the receiver, that a grid is tried at."""
BLOCKS = {"spectrum": SPECTRUM, "neighbours": NEIGHBOURS, "moments": MOMENTS, "grid": GRID}
"""Name of each block -> names of its statistics, in the order of the columns."""

TOLERANCES = {
    "spectrum": (0.05, 0.01, 0.1),
    "neighbours": (0.1, 0.01, 0.1, 0.1),
    "moments": (0.004,) * 11,
    "grid": (0.01,) * 7,
}
"""Variance that each statistic is granted beyond its scatter, for what another radio does to a
known signal: of the spectrum a ripple of about 1 dB and a tilt of some more; of neighbours that
packets repeat symbols, and that filters spread one over the next."""

PARTS = 8
"""Of the band, over each of which a spectrum is averaged."""
LINE_SHARE, LINE_REACH = 32, 3
"""Bins about the carrier that are left out: one of so many symbols, at most so many to a side."""
LEAST_SIGNAL = 0.002
"""Of the noise's power that counts as signal at least."""
LEAKAGE = 1e-5
"""Of the signal's power, what a spectrum may show where the pulse leaves it empty."""
EXPONENTIAL_DB = 2.5
"""By which the mean of decibels lies below the decibels of a mean, for exponential powers."""
LEAST_SNR = 0.01
"""Linear, of a frame that is noise to all appearance."""
TINY = 1e-6
MOST_STRENGTH = 10.0
"""Linear; beyond, nobody doubts that there is a signal."""


def relevant(modulations: Sequence[str]) -> np.ndarray:
    """Which statistics count for each named modulation: 1 or 0, float64 (modulations, statistics).

    Grids are far too fine for the few points of ASK, BPSK and QPSK, and those of QAM turn with the
    phase of a PSK, which is open.
    """
    rows = []
    for modulation in modulations:
        name = TWINS.get(modulation, modulation)
        own: Sequence[str] = ()
        if name in RINGED:
            own = tuple(POWERS)
        elif "QAM" in name or "APSK" in name:
            own = tuple(SPACINGS)
        every = [one for block in BLOCKS.values() for one in block]
        rows.append([one not in GRID or one in own for one in every])
    return np.array(rows, float)


class Signals(NamedTuple):
    """What n frames look like."""

    statistics: torch.Tensor
    """float32 (n, statistics), in the order of `BLOCKS`."""
    strength: torch.Tensor
    """Power of what has the pulse's spectrum over that of the noise, float32 (n,)."""
    snr_db: torch.Tensor
    """Over the whole band, by the level of the view `noise`: float32 (n,)."""


def measure(frames: torch.Tensor, render: RenderSettings) -> Signals:
    """What frames look like.

    Args:
        frames: float32 (n, samples, 2), I then Q, of any power but zero.
        render: samples a symbol, the pulse of these frames, and the carrier offset to expect.

    Returns:
        Their statistics.

    Raises:
        ValueError: for frames that the views `symbol` and `noise` cannot be made of.
    """
    iq = torch.view_as_complex(frames.contiguous())
    iq = iq * power_of(iq).mean(1, keepdim=True).rsqrt()
    points = views.symbols_of(iq, render).points

    shape, strength = _spectrum(iq, render)
    statistics = torch.cat([shape, _neighbours(points), _moments(points), _grid(points)], 1)
    noise_db = views.noise(iq, render.sps).abs().mean(1) + views.FLOOR_DB + EXPONENTIAL_DB
    snr = (10 ** (-noise_db / 10) - 1).clamp_min(LEAST_SNR)  # the frame is signal and noise
    return Signals(statistics, strength, 10 * snr.log10())


def _spectrum(iq: torch.Tensor, render: RenderSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the spectrum is from pulse and white noise, and the strength of the signal.

    Frames (n, samples) of unit power give float32 (n, 3) in nepers of power, and (n,).
    """
    symbols = iq.shape[1] // render.sps
    tapered = tapered_spectrum(iq)
    noise = noise_power(tapered, symbols).clamp_min(TINY)
    signal = torch.maximum(1 - noise, LEAST_SIGNAL * noise)
    periodogram = power_of(occupied_band(tapered, symbols))  # (n, 2 * symbols)

    response = responses_of(iq, render)
    # White noise fills sps symbol rates, the signal two of them.
    density = render.sps / 2 * response.square() / response.square().mean(1, keepdim=True)
    expected = signal * (density + LEAKAGE) + noise
    ratio = periodogram / expected

    # Carriers are a matter of the modulation.
    reach = min(LINE_REACH, symbols // LINE_SHARE)
    ratio[:, symbols - reach : symbols + reach + 1] = 1
    of_each = symbols // PARTS
    first = symbols - of_each * PARTS // 2
    middle = ratio[:, first : first + of_each * PARTS]  # the inner half of the band
    parts = middle.unflatten(1, (PARTS, of_each)).mean(2).clamp_min(TINY).log()  # (n, PARTS)

    level = parts.mean(1)
    ripple = (parts - level[:, None]).square().mean(1).sqrt()
    below, above = parts.split(PARTS // 2, 1)
    tilt = (below.mean(1) - above.mean(1)).abs()

    matched = ((periodogram - noise) * density).sum(1) / density.square().sum(1)
    strength = (matched / noise[:, 0]).clamp_max(MOST_STRENGTH)
    return torch.stack([ripple, level, tilt], 1), strength


def _neighbours(points: torch.Tensor) -> torch.Tensor:
    """How symbols (n, symbols) depend on those before them: float32 (n, 4)."""
    unit = points / power_of(points).mean(1, keepdim=True).clamp_min(TINY).sqrt()
    products = unit[:, 1:] * unit[:, :-1].conj()
    second = unit[:, 2:] * unit[:, :-2].conj()

    amplitude = unit.abs()
    about_mean = amplitude - amplitude.mean(1, keepdim=True)
    variance = about_mean.square().mean(1).clamp_min(TINY)
    envelope = (about_mean[:, 1:] * about_mean[:, :-1]).mean(1) / variance
    columns = [products.mean(1).abs(), products.square().mean(1).abs(), second.mean(1).abs()]
    return torch.stack([*columns, envelope], 1)


def _moments(points: torch.Tensor) -> torch.Tensor:
    """Where symbols (n, symbols) lie, whatever their phase: float32 (n, 11)."""
    power = power_of(points)
    mean_power = power.mean(1, keepdim=True).clamp_min(TINY)
    unit, relative = points / mean_power.sqrt(), power / mean_power
    square = unit.square()
    eighth = (unit / unit.abs().clamp_min(TINY)).pow(8)

    columns = [relative.square().mean(1), relative.pow(3).mean(1)]
    columns += [one.mean(1).abs() for one in (unit, square, square.square(), eighth)]
    levels = torch.tensor(QUANTILES, device=points.device)
    quantiles = torch.quantile(unit.abs(), levels, dim=1)  # (quantiles, n)
    return torch.cat([torch.stack(columns, 1), quantiles.T], 1)


def _grid(points: torch.Tensor) -> torch.Tensor:
    """How well symbols (n, symbols) of unit power lie on the grid of each of `GRID`: (n, 7).

    1 where all lie on it, about 0 where they have nothing to do with it. Points of a QAM are odd
    multiples of half its spacing, of which the cosine of a turn a spacing is -1.
    """
    axes = torch.view_as_real(points).flatten(1)  # (n, 2 * symbols)
    columns = []
    for spacing in SPACINGS.values():
        turns = axes[:, None] * (2 * torch.pi / spacing * LEVELS.to(axes)[:, None])
        columns.append(-turns.cos().mean(2).amin(1))  # (n, LEVELS, 2 * symbols) -> (n,)
    phase = points.angle()
    for power in POWERS.values():
        turned = torch.polar(torch.ones_like(phase), power * phase)
        columns.append(turned.mean(1).abs())
    return torch.stack(columns, 1)
