"""Symbols of long frames: matched filter, timing and equaliser over the whole of them."""

from typing import NamedTuple, Self

import torch

from pisces.inputs.receiver.echo import EVIDENCE, SURE, Echo, find_echo, remove_echo
from pisces.inputs.receiver.equalizer import Equalized, equalize_drifting
from pisces.inputs.receiver.spectrum import Observed, power_of
from pisces.inputs.receiver.timing import Timing, timing_of

EDGE = 4
"""Symbols left out at either end of a frame, where the filters lack a part of their input."""


class LongFrames(NamedTuple):
    """Frames over their RMS, with what their symbols are found by."""

    observed: Observed
    """Their spectra and noise, of n frames."""
    response: torch.Tensor
    """Of the pulse at `spectrum.band_rates`, float32 (1 or n, 2 * symbols)."""
    signal: torch.Tensor
    """Power of the signal, float32 (n, 1), above 0."""
    sps: int
    """Samples a symbol."""

    def of(self, rows: torch.Tensor) -> Self:
        """Some of the frames, by their numbers, int64 (rows,)."""
        observed = Observed(*(one[rows] for one in self.observed))
        response = self.response if len(self.response) == 1 else self.response[rows]
        return self._replace(observed=observed, response=response, signal=self.signal[rows])


def receive_long(frames: LongFrames, *, blind: bool) -> tuple[Equalized, torch.Tensor]:
    """Symbols and timing, equalised for the pulse, or for the pulse and an echo.

    Args:
        frames: of more than `short.MOST_SYMBOLS` symbols.
        blind: whether echoes are looked for, and removed where there is one.

    Returns:
        The symbols without `EDGE` at either end, and the timing in symbols, float32 (n, 1).
    """
    equalized, found = _equalize(frames)
    if blind:
        _replace_by_cleared(frames, equalized, found)
    return equalized, found.timing


def _replace_by_cleared(frames: LongFrames, equalized: Equalized, found: Timing) -> None:
    """Replaces, in place, the symbols and the timing of frames that show an echo by those without.

    An echo is removed where the spectrum shows it by `SURE`, or by `EVIDENCE` if the symbols agree,
    which must be further from Gaussian without it (Shalvi and Weinstein, IEEE Trans. Inf. Theory 36
    (1990) 312): at a quick look and at a close one. All other frames are received as if nothing had
    been looked for. Staggered I and Q are among these, since the halves of their band do not carry
    the same. In files of mixed roll-offs about 1 in 100 frames without an echo, from 12 dB up, is
    taken for one with it.
    """
    rows = (~found.staggered[:, 0]).nonzero()[:, 0]

    # A close look takes long, and most of what a quick one takes for an echo is none.
    for closely in (False, True):
        seen = frames.of(rows)
        tapered, noise = seen.observed.tapered, seen.observed.noise
        echoes = find_echo(tapered, seen.response, noise, closely=closely)

        likely = (echoes.evidence > EVIDENCE).nonzero()[:, 0]
        if not len(likely):
            return
        rows, evidence = rows[likely], echoes.evidence[likely]
        echo = Echo(*(one[likely] for one in echoes.echo))
        cleared, timing = _equalize(_cleared(seen.of(likely), echo))

        clearer = kurtosis(cleared.points) < kurtosis(equalized.points[rows])
        better = clearer | (evidence > SURE)
        rows = rows[better]

    equalized.points[rows] = cleared.points[better]
    equalized.disturbance[rows] = cleared.disturbance[better]
    found.timing[rows] = timing.timing[better]


def _cleared(frames: LongFrames, echo: Echo) -> LongFrames:
    """Frames without their echoes, one of each, (n,)."""
    band, response = remove_echo(frames.observed.band, frames.response, echo)
    return frames._replace(observed=frames.observed._replace(band=band), response=response)


def _equalize(frames: LongFrames) -> tuple[Equalized, Timing]:
    """The symbols without `EDGE` at either end, and where the eye is open."""
    band, response = frames.observed.band, frames.response
    found = timing_of(band, response)
    whole = equalize_drifting(
        band, response, found, signal=frames.signal, noise=frames.observed.noise, sps=frames.sps
    )
    return whole._replace(points=whole.points[:, EDGE:-EDGE]), found


def kurtosis(points: torch.Tensor) -> torch.Tensor:
    """Mean fourth over squared mean second power of points (n, symbols): (n,).

    1 of PSK, 1.4 of square QAM, 2 of Gaussian points.
    """
    power = power_of(points)
    return power.square().mean(1) / power.mean(1).square()
