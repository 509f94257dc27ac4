"""The echo of a frame's channel, blind, by how it shapes the spectrum of the frame."""

import math
from functools import cache, reduce
from typing import NamedTuple

import torch

from pisces.core.pulses import rrc_response
from pisces.inputs.receiver.spectrum import band_rates, phasor, power_of

DELAYS = tuple(0.25 * step for step in range(1, 11))
"""Of the echoes that are tried, in symbols."""
AMPLITUDES = (0.15, 0.27, 0.39, 0.51, 0.66)
"""Of the echoes that are tried, over that of the direct path."""
PHASES = 12
"""Of the echoes that are tried, over one turn."""
FIRST_DELAYS, FIRST_AMPLITUDE, FIRST_PHASES = DELAYS[1::2], AMPLITUDES[1], 6
"""Of the few echoes that are tried first."""
SUSPECT = 2.0
"""Nats by which one of these must be likelier than none for all echoes to be tried."""
STEPS = (0.125, 0.06, 1 / 24)
"""Of delay, amplitude and phase (turns), in the first round of the search about the best one."""
ROUNDS = 4
"""Of that search, each with half the steps of the one before."""
LEAST_DELAY, MOST_AMPLITUDE = 0.05, 0.9
"""That the search may end at."""
EVIDENCE = 7.0
"""Nats by which an echo must be likelier than none to be looked at more closely."""
SURE = 20.0
"""Nats from which on no second witness is asked."""
LEVELS_DB = (14, 19, 24)
"""Energy of a symbol over the noise density at which spectra are compared.

A frame counts as one of the highest level that it reaches. Above the last of them a pulse that is
not quite that of the frame would count as evidence; below the first nothing is looked for.
"""
ROLLOFFS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Of root-raised cosines that may explain a spectrum instead of an echo, in files of several."""
GROUPS = 64
"""Frequencies at which spectra are compared; each stands for all of a long frame's beside it."""
ABOUT_CARRIER = 0.035
"""Symbol rates about a carrier, which ASK may have, that say nothing about a channel."""
_Keys = tuple[tuple[float, ...], ...]
"""Responses of pulses, as what is kept about them is found again."""
TINY = 1e-12
"""Keeps powers of zero from dividing by zero."""


class Echo(NamedTuple):
    """What follows the direct path of n frames; each float32 (n,)."""

    delay: torch.Tensor
    """Symbols."""
    amplitude: torch.Tensor
    """Over that of the direct path."""
    turns: torch.Tensor
    """Phase, in turns."""


class _Spectra(NamedTuple):
    """Sums over the frequencies of each group, in units of the signal's mean in either."""

    power: torch.Tensor
    """Of the lower and the upper band, float32 (n, 2, groups)."""
    cross: torch.Tensor
    """Upper times conjugate lower band, complex64 (n, groups)."""
    es_n0: torch.Tensor
    """Signal over noise in a symbol, float32 (n,)."""


class Found(NamedTuple):
    """The likeliest echo of n frames."""

    echo: Echo
    evidence: torch.Tensor
    """Nats by which it is likelier than none, float32 (n,); -inf where nothing shows it."""


class _Weights(NamedTuple):
    """Of spectra in the log likelihood of channels, which may be any number of leading axes."""

    of_none: torch.Tensor
    """float (...)."""
    of_power: torch.Tensor
    """float (..., 2, groups)."""
    of_cross: torch.Tensor
    """complex (..., groups)."""


def channel_response(echo: Echo, rates: torch.Tensor) -> torch.Tensor:
    """Response of the direct path and the echo: 1 + a exp(2 pi j (turns - rate * delay)).

    Args:
        echo: of shape (...).
        rates: frequencies in symbol rates, (...bins).

    Returns:
        complex (..., ...bins).
    """
    delay, amplitude, turns = (one.reshape(*one.shape, *rates.dim() * [1]) for one in echo)
    return 1 + amplitude * phasor(turns - rates * delay)


def remove_echo(
    band: torch.Tensor, response: torch.Tensor, echo: Echo
) -> tuple[torch.Tensor, torch.Tensor]:
    """The band without the channel's phase, and the response of pulse and channel together.

    What is left is a frame of a pulse that need not be Nyquist, as the equaliser expects it.

    Args:
        band: spectrum as of `spectrum.occupied_band`, complex (n, 2 * symbols).
        response: of the pulse at its frequencies, float32 (1 or n, 2 * symbols).
        echo: of each frame; of amplitude 0 where there is none.

    Returns:
        Complex (n, 2 * symbols), and float32 (n, 2 * symbols).
    """
    channel = channel_response(echo, band_rates(band.shape[1] // 2).to(band.device))
    gain = power_of(channel).sqrt()
    return band * channel.conj() / gain, response * gain


def find_echo(
    band: torch.Tensor, response: torch.Tensor, noise: torch.Tensor, *, closely: bool = True
) -> Found:
    """The echo that makes the spectrum of a frame likeliest.

    The two halves of the band carry the same symbols: at a frequency f and one symbol rate below,
    the frame is S(f) times (P H)(f) and (P H)(f - 1), in white noise. With S Gaussian, of a flat
    mean power, this is a likelihood of H that needs no symbol (Tong, Xu and Kailath, IEEE Trans.
    Inf. Theory 40 (1994) 340, show that both together tell a channel; Whittle's likelihood is that
    of `pulse.choose_response`). The timing turns all products of the two halves alike and is left
    out by taking the magnitude of their sum. Pulses of other roll-offs, which shape a spectrum as
    well, compete: each channel counts with the pulse that explains it best.

    A quick look tries a few echoes with all pulses first. Frames for which none of these is
    likelier than no echo by `SUSPECT` are done; for the others all echoes are tried with the pulse
    that was best. Its evidence is at most that of a close look.

    Args:
        band: of tapered frames, as of `spectrum.occupied_band`, complex64 (n, 2 * symbols).
        response: of the pulse at its frequencies, float32 (1 or n, 2 * symbols).
        noise: power of white noise in each bin, float32 (n, 1).
        closely: whether all echoes are tried with all pulses, and finer steps about the best one
            where there is evidence for one; else a quick look.

    Returns:
        The likeliest echo.
    """
    own = response if len(response) == 1 else response.unique(dim=0)
    pulses = torch.cat([own, _rrc_bank(band.shape[1] // 2).to(band.device)])
    keys = tuple(tuple(pulse.tolist()) for pulse in pulses)
    spectra = _spectra_of(band, noise)
    n, device = len(band), band.device

    best, best_pulse, level = (torch.zeros(n, dtype=torch.long, device=device) for _ in range(3))
    evidence = torch.full((n,), -math.inf, device=device)
    reached = torch.bucketize(10 * spectra.es_n0.log10(), torch.tensor(LEVELS_DB, device=device))
    for number, level_db in enumerate(LEVELS_DB, 1):
        rows = (reached == number).nonzero()[:, 0]
        if not len(rows):
            continue
        look = _look_closely if closely else _look_quickly
        evidence[rows], best_pulse[rows], best[rows] = look(
            _of_rows(spectra, rows), keys, level_db, device
        )
        level[rows] = level_db

    echo = Echo(*(one.to(device)[best] for one in _grid()))
    seen = (evidence > EVIDENCE).nonzero()[:, 0]
    if closely and len(seen):
        coarse = Echo(*(one[seen] for one in echo))
        refined = _refine(coarse, _of_rows(spectra, seen), pulses[best_pulse[seen]], level[seen])
        for whole, part in zip(echo, refined, strict=True):
            whole[seen] = part
    return Found(echo, evidence)


def _look_closely(
    spectra: _Spectra, keys: _Keys, level_db: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All echoes with all pulses.

    Returns:
        Evidence, number of the pulse and number of the echo in the grid, (n,) each.
    """
    scores = [_score(spectra, _grid_weights(key, level_db, device)) for key in keys]
    score = torch.stack(scores, 1)  # (n, pulses, echoes)
    likeliest, at = score.flatten(1).max(1)
    evidence = likeliest - score[:, :, 0].amax(1)
    return evidence, at // score.shape[2], at % score.shape[2]


def _look_quickly(
    spectra: _Spectra, keys: _Keys, level_db: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `_look_closely`: a few echoes, and where one is suspected all with the best pulse."""
    first = _first_weights(keys, level_db, device)
    score = _score(spectra, first).unflatten(1, (len(keys), -1))  # (n, pulses, echoes)
    likeliest, pulse = score.amax(2).max(1)
    none = score[:, :, 0].amax(1)
    evidence, best = torch.full_like(none, -math.inf), torch.zeros_like(pulse)

    suspect = likeliest - none > SUSPECT
    for number in pulse[suspect].unique().tolist():
        rows = (suspect & (pulse == number)).nonzero()[:, 0]
        weights = _grid_weights(keys[number], level_db, device)
        likeliest, best[rows] = _score(_of_rows(spectra, rows), weights).max(1)
        evidence[rows] = likeliest - none[rows]
    return evidence, pulse, best


def _refine(echo: Echo, spectra: _Spectra, response: torch.Tensor, level_db: torch.Tensor) -> Echo:
    """The likeliest of ever finer grids of 3 x 3 x 3 echoes, each about the best one before.

    Args:
        echo: to begin with, (n,).
        spectra: of n frames.
        response: of their pulses, float32 (n, 2 * symbols).
        level_db: of their signal, of `LEVELS_DB`, int64 (n,).
    """
    symbols = response.shape[1] // 2
    rates, pulse = _grouped_rates(symbols, response)
    noise = 10 ** (-level_db.float() / 10)
    counts = _counts(symbols, noise)
    sides = torch.tensor([-1.0, 0.0, 1.0], device=response.device)

    for halvings in range(ROUNDS):
        delay, amplitude, turns = (
            one[:, None] + step / 2**halvings * sides for one, step in zip(echo, STEPS, strict=True)
        )  # (n, 3)
        axes = delay.clamp_min(LEAST_DELAY), amplitude.clamp(0, MOST_AMPLITUDE), turns
        received = pulse[:, None] * _responses(Echo(*axes), rates)  # (n, 27, 2, groups)
        weights = _weights(received, counts, noise[:, None].expand(received.shape[:2]))

        of_power = (weights.of_power * spectra.power[:, None]).sum((2, 3))
        of_cross = (weights.of_cross * spectra.cross[:, None]).sum(2)
        score = weights.of_none + of_power + 2 * power_of(of_cross).sqrt()
        likeliest = torch.unravel_index(score.argmax(1, keepdim=True), (3, 3, 3))
        echo = Echo(*(axis.gather(1, at)[:, 0] for axis, at in zip(axes, likeliest, strict=True)))
    return echo


def _responses(axes: Echo, rates: torch.Tensor) -> torch.Tensor:
    """As `channel_response`, of the echoes of a grid whose axes are (n, 3) each.

    Far fewer phasors are made than there are echoes: complex (n, 27, 2, groups).
    """
    late = phasor(-rates * axes.delay[..., None, None])  # (n, 3, 2, groups)
    tap = axes.amplitude[..., None] * phasor(axes.turns[:, None])  # (n, 3, 3)
    return (1 + late[:, :, None] * tap.flatten(1)[:, None, :, None, None]).flatten(1, 2)


def _of_rows(spectra: _Spectra, rows: torch.Tensor) -> _Spectra:
    return _Spectra(*(one[rows] for one in spectra))


def _spectra_of(band: torch.Tensor, noise: torch.Tensor) -> _Spectra:
    """What find_echo compares of the band (n, 2 * symbols)."""
    symbols = band.shape[1] // 2
    lower, upper = (_group(half) for half in band.split(symbols, 1))  # (n, groups, of each)
    power = torch.stack([_sum_in_groups(power_of(half)) for half in (lower, upper)], 1)
    cross = _sum_in_groups(upper * lower.conj())

    counts = _counts(symbols, noise)
    both = (power.sum(1) * (counts > 0)).sum(1, keepdim=True) / counts.sum()
    signal = torch.maximum(both - 2 * noise, 0.01 * both).clamp_min(TINY)
    es_n0 = signal / noise.clamp_min(TINY)
    return _Spectra(power / signal[..., None], cross / signal, es_n0[:, 0])


def _group(bins: torch.Tensor) -> torch.Tensor:
    """(..., symbols) -> (..., groups, symbols of each), without a rest at the end."""
    of_each = max(1, bins.shape[-1] // GROUPS)
    groups = bins.shape[-1] // of_each
    return bins[..., : groups * of_each].unflatten(-1, (groups, of_each))


def _sum_in_groups(grouped: torch.Tensor) -> torch.Tensor:
    """(..., groups, symbols of each) -> (..., groups): of so few, far faster than by `sum`."""
    return reduce(torch.add, grouped.unbind(-1))


def _grouped_rates(symbols: int, response: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rates in the middle of the groups, (2, groups), and the response there, (n, 2, groups)."""
    rates = band_rates(symbols).to(response).unflatten(0, (2, symbols))
    return _group(rates).mean(2), _group(response.unflatten(1, (2, symbols))).mean(3)


def _counts(symbols: int, like: torch.Tensor) -> torch.Tensor:
    """Bins that count in each group, none about a carrier and its images: float (groups,)."""
    rates = _group(torch.arange(symbols) / symbols)  # (groups, of each)
    off_carrier = (rates.mean(1) - 0.5).abs() < 0.5 - ABOUT_CARRIER
    return (off_carrier * rates.shape[1]).to(like)


def _weights(received: torch.Tensor, counts: torch.Tensor, noise: torch.Tensor) -> _Weights:
    """Of channels, in the log likelihood of spectra.

    A pair of bins is Gaussian of covariance v v^H + noise: its determinant is noise (noise + |v|^2)
    but for a constant, its inverse (1 - v v^H / (noise + |v|^2)) / noise.

    Args:
        received: v, the pulse as it arrives, complex (..., 2, groups), of any scale.
        counts: as of `_counts`, float (groups,).
        noise: over the signal, float (...).

    Returns:
        The weights, for v scaled to unit mean power.
    """
    used = (counts > 0).to(counts)
    power = power_of(received)
    mean = (used * power.sum(-2)).sum(-1) / used.sum()  # (...)
    power = power / mean[..., None, None]
    loaded = noise[..., None] + power.sum(-2)  # (..., groups)

    inverse = used / (loaded * noise[..., None])
    lower, upper = received.unbind(-2)
    of_cross = inverse / mean[..., None] * lower * upper.conj()
    of_none = -(counts * loaded.log()).sum(-1)
    return _Weights(of_none, inverse[..., None, :] * power, of_cross)


@cache
def _grid() -> Echo:
    """No echo, and then all that are tried: float32 (echoes,) each."""
    axes = torch.tensor(DELAYS), torch.tensor(AMPLITUDES), torch.arange(PHASES) / PHASES
    none = torch.zeros(1, 3)
    return Echo(*torch.cat([none, torch.cartesian_prod(*axes)]).T.contiguous())


@cache
def _grid_weights(response: tuple[float, ...], level_db: int, device: torch.device) -> _Weights:
    """Of the grid of echoes, for a pulse and a level: (echoes), ... as float32 on a device."""
    pulse = torch.tensor([response]).double()
    symbols = len(response) // 2
    rates, pulse = _grouped_rates(symbols, pulse)
    echoes = Echo(*(one.double() for one in _grid()))
    received = pulse * channel_response(echoes, rates)  # (echoes, 2, groups)

    noise = torch.full((len(received),), 10 ** (-level_db / 10)).double()
    weights = _weights(received, _counts(symbols, noise), noise)
    of_power, of_cross = weights.of_power.float(), weights.of_cross.to(torch.complex64)
    return _Weights(*(one.to(device) for one in (weights.of_none.float(), of_power, of_cross)))


@cache
def _first_weights(keys: _Keys, level_db: int, device: torch.device) -> _Weights:
    """Of no echo and the few that are tried first, pulse by pulse: (pulses * echoes), ..."""
    delays = torch.tensor((0.0, *FIRST_DELAYS))
    turns = torch.arange(FIRST_PHASES) / FIRST_PHASES
    grid = _grid()
    first = torch.isin(grid.delay, delays) & torch.isin(grid.turns, turns)
    first &= torch.isin(grid.amplitude, torch.tensor((0.0, FIRST_AMPLITUDE)))

    of_each = [_grid_weights(key, level_db, device) for key in keys]
    by_field = zip(*of_each, strict=True)
    return _Weights(*(torch.cat([one[first.to(device)] for one in field]) for field in by_field))


def _score(spectra: _Spectra, weights: _Weights) -> torch.Tensor:
    """Log likelihood of each channel of the weights, up to a constant: float32 (n, channels)."""
    of_power = spectra.power.flatten(1) @ weights.of_power.flatten(1).T
    of_cross = spectra.cross @ weights.of_cross.T
    return weights.of_none + of_power + 2 * power_of(of_cross).sqrt()


@cache
def _rrc_bank(symbols: int) -> torch.Tensor:
    """Responses at `spectrum.band_rates`, float32 (ROLLOFFS, 2 * symbols)."""
    rates = band_rates(symbols).double().numpy()
    return torch.stack([torch.from_numpy(rrc_response(rates, one)).float() for one in ROLLOFFS])
