"""Symbols of long frames: matched filter, timing and equaliser over the whole of them."""

import torch

from pisces.inputs.receiver.echo import (
    EVIDENCE,
    SURE,
    Echo,
    Found,
    find_echo,
    remove_echo,
)
from pisces.inputs.receiver.equalizer import Equalized, equalize_drifting
from pisces.inputs.receiver.spectrum import occupied_band, power_of
from pisces.inputs.receiver.timing import Timing, timing_of

EDGE = 4
"""Symbols left out at either end of a frame, where the filters lack a part of their input."""


def receive_long(
    iq: torch.Tensor,
    tapered: torch.Tensor,
    response: torch.Tensor,
    *,
    signal: torch.Tensor,
    noise: torch.Tensor,
    sps: int,
    blind: bool,
) -> tuple[Equalized, torch.Tensor]:
    """Symbols and timing, equalised for the pulse, or for the pulse and an echo.

    An echo is removed where the spectrum shows it by `SURE`, or by `EVIDENCE` if the symbols agree,
    which must be further from Gaussian without it (Shalvi and Weinstein, IEEE Trans. Inf. Theory 36
    (1990) 312): at a quick look and at a close one. All other frames are received as if nothing had
    been looked for. Staggered I and Q are among these, since the halves of their band do not carry
    the same. In files of mixed roll-offs about 1 in 100 frames without an echo, from 12 dB up, is
    taken for one with it.

    Args:
        iq: frames, complex64 (n, samples).
        tapered: spectrum as of `spectrum.tapered_spectrum`, complex64 (n, samples).
        response: of the pulse at `spectrum.band_rates`, float32 (1 or n, 2 * symbols).
        signal: power of the signal, float32 (n, 1), above 0.
        noise: power of white noise over the whole band, float32 (n, 1).
        sps: samples a symbol.
        blind: whether echoes are looked for.

    Returns:
        The symbols without `EDGE` at either end, and the timing in symbols, float32 (n, 1).
    """
    symbols = iq.shape[1] // sps
    band = occupied_band(torch.fft.fft(iq), symbols)
    equalized, found = _equalize(band, response, signal=signal, noise=noise, sps=sps)
    if not blind:
        return equalized, found.timing

    tapered_band = occupied_band(tapered, symbols)

    def look(rows: torch.Tensor, *, closely: bool) -> tuple[Found, torch.Tensor]:
        """The echoes of some frames, and which of them show one, as numbers of `rows`."""
        of_rows = response if len(response) == 1 else response[rows]
        echoes = find_echo(tapered_band[rows], of_rows, noise[rows], closely=closely)
        return echoes, (echoes.evidence > EVIDENCE).nonzero()[:, 0]

    def without(
        echo: Echo, rows: torch.Tensor, evidence: torch.Tensor
    ) -> tuple[Equalized, Timing, torch.Tensor]:
        """Some frames without their echoes, and whether they are to be taken: bool (rows,)."""
        cleared = remove_echo(band[rows], response.expand(len(band), -1)[rows], echo)
        result, timing = _equalize(*cleared, signal=signal[rows], noise=noise[rows], sps=sps)
        clearer = kurtosis(result.points) < kurtosis(equalized.points[rows])
        return result, timing, clearer | (evidence > SURE)

    # A close look takes long, and most of what a quick one takes for an echo is none.
    rows = (~found.staggered[:, 0]).nonzero()[:, 0]
    for closely in (False, True):
        echoes, likely = look(rows, closely=closely)
        if not len(likely):
            return equalized, found.timing
        echo = Echo(*(one[likely] for one in echoes.echo))
        result, timing, better = without(echo, rows[likely], echoes.evidence[likely])
        rows = rows[likely[better]]

    equalized.points[rows] = result.points[better]
    equalized.disturbance[rows] = result.disturbance[better]
    found.timing[rows] = timing.timing[better]
    return equalized, found.timing


def _equalize(
    band: torch.Tensor,
    response: torch.Tensor,
    *,
    signal: torch.Tensor,
    noise: torch.Tensor,
    sps: int,
) -> tuple[Equalized, Timing]:
    """The symbols without `EDGE` at either end; arguments as of `equalizer.equalize`."""
    found = timing_of(band, response)
    whole = equalize_drifting(band, response, found, signal=signal, noise=noise, sps=sps)
    return whole._replace(points=whole.points[:, EDGE:-EDGE]), found


def kurtosis(points: torch.Tensor) -> torch.Tensor:
    """Mean fourth over squared mean second power of points (n, symbols): (n,).

    1 of PSK, 1.4 of square QAM, 2 of Gaussian points.
    """
    power = power_of(points)
    return power.square().mean(1) / power.mean(1).square()
