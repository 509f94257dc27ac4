"""The search for an echo of `inputs.receiver.echo` in real arithmetic.

A frame is looked at closely where one of a few echoes is likelier than none, as there. The tables
of all echoes, pulses and levels make most of the graph's size.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from pisces.deploy import pairs
from pisces.deploy.pairs import Pair
from pisces.deploy.symbols import CPU, Equalized, Level, Receiver
from pisces.inputs.receiver import echo
from pisces.inputs.receiver.spectrum import band_rates


class Spectra(NamedTuple):
    """What is compared of n frames, in units of the signal's mean power."""

    power: torch.Tensor
    """Of the lower and the upper band, float32 (n, 2 * groups)."""
    cross: Pair
    """Upper times conjugate lower band, (n, groups)."""
    level: torch.Tensor
    """Number of the level that is reached, from 0; -1 below all, int64 (n,)."""


class Found(NamedTuple):
    """The likeliest echo of n frames."""

    delay: torch.Tensor
    """Symbols, float32 (n,)."""
    amplitude: torch.Tensor
    """Over that of the direct path, float32 (n,)."""
    turns: torch.Tensor
    """Phase, float32 (n,)."""
    evidence: torch.Tensor
    """Nats by which it is likelier than none, float32 (n,)."""


class Weights(nn.Module):
    """Of spectra in the log likelihood of channels, as of `echo.find_echo`."""

    of_none: torch.Tensor
    of_power: torch.Tensor
    cross_re: torch.Tensor
    cross_im: torch.Tensor

    def __init__(
        self, of_none: torch.Tensor, of_power: torch.Tensor, of_cross: torch.Tensor
    ) -> None:
        """
        Args:
            of_none: float32 (channels,).
            of_power: float32 (channels, 2, groups).
            of_cross: complex64 (channels, groups).
        """
        super().__init__()
        constants = {
            "of_none": of_none,
            "of_power": of_power.flatten(1).T,
            "cross_re": of_cross.real.T,
            "cross_im": of_cross.imag.T,
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant.contiguous(), persistent=False)

    def forward(self, spectra: Spectra) -> torch.Tensor:
        """Log likelihood of each channel, up to a constant: float32 (n, channels)."""
        of_power = spectra.power @ self.of_power
        re = spectra.cross.re @ self.cross_re - spectra.cross.im @ self.cross_im
        im = spectra.cross.re @ self.cross_im + spectra.cross.im @ self.cross_re
        return self.of_none + of_power + 2 * Pair(re, im).power().sqrt()


class EchoSearch(nn.Module):
    """Symbols of frames as they are, or without an echo where there is evidence for one."""

    pulses: torch.Tensor
    counts: torch.Tensor
    grouped_rates: torch.Tensor
    grouped_pulses: torch.Tensor
    is_first: torch.Tensor
    grid: torch.Tensor
    rates: torch.Tensor
    levels_db: torch.Tensor
    sides: torch.Tensor

    def __init__(self, receiver: Receiver, responses: torch.Tensor) -> None:
        """
        Args:
            receiver: of the symbols of a band.
            responses: that the pulse of a frame may have, float32 (pulses, 2 * symbols).
        """
        super().__init__()
        self.receiver = receiver
        self.symbols = responses.shape[1] // 2
        pulses = torch.cat([responses, echo._rrc_bank(self.symbols)])

        # (levels * pulses * echoes), ... : the order of `scores`
        tables = []
        for level_db in echo.LEVELS_DB:
            for pulse in pulses:
                tables.append(echo._grid_weights(tuple(pulse.tolist()), level_db, CPU))
        of_none, of_power, of_cross = (torch.cat(one) for one in zip(*tables, strict=True))
        self.counted = len(echo.LEVELS_DB), len(pulses), len(tables[0].of_none)

        grid = torch.stack(echo._grid())  # (3, echoes)
        rates, grouped = echo._grouped_rates(self.symbols, pulses)
        constants = {
            "counts": echo._counts(self.symbols, torch.zeros(())),
            "grouped_rates": rates,
            "grouped_pulses": grouped,
            "is_first": _is_first(grid),
            "grid": grid,
            "rates": band_rates(self.symbols),
            "levels_db": torch.tensor(echo.LEVELS_DB).float(),
            "sides": torch.tensor(echo.STEPS)[:, None, None] * torch.tensor([-1.0, 0.0, 1.0]),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant.contiguous(), persistent=False)

        is_first = self.is_first.repeat(len(of_none) // len(self.is_first))
        self.every = Weights(of_none, of_power, of_cross)
        self.first = Weights(of_none[is_first], of_power[is_first], of_cross[is_first])

    def forward(
        self, band: Pair, tapered_band: Pair, response: torch.Tensor, level: Level
    ) -> Equalized:
        """As `long.receive_long`.

        Args:
            band: (n, 2 * symbols).
            tapered_band: the same of the tapered frames.
            response: of the pulse, float32 (1 or n, 2 * symbols).
            level: of the frames.

        Returns:
            The symbols without `long.EDGE` at either end.
        """
        plain = self.receiver(band, response, level)
        spectra = self.spectra(tapered_band, level.noise)

        # Most frames are done here: the rest of the search takes long.
        rows = (self.is_suspect(spectra) & ~plain.staggered[:, 0]).nonzero()[:, 0]
        cleared = self.cleared(
            band[rows],
            response.expand_as(band.re)[rows],
            Level(*(one[rows] for one in level)),
            Spectra(spectra.power[rows], spectra.cross[rows], spectra.level[rows]),
            Equalized(plain.points[rows], plain.disturbance[rows], plain.staggered[rows]),
        )
        re = plain.points.re.index_put((rows,), cleared.points.re)
        im = plain.points.im.index_put((rows,), cleared.points.im)
        disturbance = plain.disturbance.index_put((rows,), cleared.disturbance)
        return Equalized(Pair(re, im), disturbance, plain.staggered)

    def cleared(
        self,
        band: Pair,
        response: torch.Tensor,
        level: Level,
        spectra: Spectra,
        plain: Equalized,
    ) -> Equalized:
        """Symbols without their echo where there is evidence for one, and else as they are.

        Args:
            band: of suspect frames, (n, 2 * symbols).
            response: of their pulses, float32 (n, 2 * symbols).
            level: of the same frames.
            spectra: of the same frames.
            plain: the same frames without a search.

        Returns:
            Of the same frames.
        """
        scores = self.scores(spectra)  # (n, pulses, echoes)
        taken = torch.ones_like(spectra.level, dtype=torch.bool)
        for found in (self.look_quickly(scores), self.look_closely(scores, spectra)):
            result = self.without(band, response, level, found)
            clearer = kurtosis(result.points) < kurtosis(plain.points)
            shown = found.evidence > echo.EVIDENCE
            taken = taken & shown & (clearer | (found.evidence > echo.SURE))

        points = pairs.where(taken[:, None], result.points, plain.points)
        disturbance = torch.where(taken[:, None], result.disturbance, plain.disturbance)
        return Equalized(points, disturbance, plain.staggered)

    def is_suspect(self, spectra: Spectra) -> torch.Tensor:
        """Whether one of a few echoes is likelier than none by `echo.SUSPECT`: bool (n,)."""
        every = self.first(spectra).unflatten(1, (*self.counted[:2], -1))
        score = _of_each(every, spectra.level.clamp_min(0))  # (n, pulses, echoes)
        suspicion = score.flatten(1).amax(1) - score[:, :, 0].amax(1)
        return (suspicion > echo.SUSPECT) & (spectra.level >= 0)

    def spectra(self, band: Pair, noise: torch.Tensor) -> Spectra:
        """Of the tapered band (n, 2 * symbols) and the noise in each bin (n, 1)."""
        lower, upper = (half.each(echo._group) for half in band.halves())  # (n, groups, of each)
        power = torch.stack([lower.power(), upper.power()], 1).sum(3)  # (n, 2, groups)
        cross = (upper * lower.conj()).sum(2)

        counts = self.counts
        both = (power.sum(1) * (counts > 0)).sum(1, keepdim=True) / counts.sum()
        signal = torch.maximum(both - 2 * noise, 0.01 * both).clamp_min(echo.TINY)
        es_n0_db = 10 * (signal / noise.clamp_min(echo.TINY)).log10()  # (n, 1)
        reached = (es_n0_db > self.levels_db).sum(1) - 1
        return Spectra((power / signal[..., None]).flatten(1), cross * (1 / signal), reached)

    def scores(self, spectra: Spectra) -> torch.Tensor:
        """Log likelihood of each channel at the frame's level: float32 (n, pulses, echoes)."""
        every = self.every(spectra).unflatten(1, self.counted)
        return _of_each(every, spectra.level.clamp_min(0))

    def look_quickly(self, scores: torch.Tensor) -> Found:
        """A few echoes with all pulses, and all echoes with the best of these pulses."""
        first = scores.where(self.is_first, -math.inf)
        pulse = first.amax(2).argmax(1)
        none = scores[:, :, 0].amax(1)
        best, at = _of_each(scores, pulse).max(1)
        delay, amplitude, turns = self.grid[:, at]
        return Found(delay, amplitude, turns, best - none)

    def look_closely(self, scores: torch.Tensor, spectra: Spectra) -> Found:
        """All echoes with all pulses, and finer steps about the best one."""
        likeliest, at = scores.flatten(1).max(1)
        evidence = likeliest - scores[:, :, 0].amax(1)

        echoes = scores.shape[2]
        pulse = torch.div(at, echoes, rounding_mode="floor")
        axes = self.grid[:, at - pulse * echoes]  # (3, n)
        delay, amplitude, turns = self.refine(axes, spectra, self.grouped_pulses[pulse])
        return Found(delay, amplitude, turns, evidence)

    def refine(self, axes: torch.Tensor, spectra: Spectra, pulse: torch.Tensor) -> torch.Tensor:
        """The likeliest of ever finer grids about an echo.

        Args:
            axes: delay, amplitude and turns to begin with, float32 (3, n).
            spectra: of the frames.
            pulse: their response in the groups, float32 (n, 2, groups).

        Returns:
            float32 (3, n).
        """
        level_db = self.levels_db[spectra.level.clamp_min(0)]
        noise = torch.exp(-level_db * (math.log(10) / 10))  # (n,)
        for halvings in range(echo.ROUNDS):
            delay, amplitude, turns = axes[..., None] + self.sides / 2**halvings  # (n, 3) each
            delay = delay.clamp_min(echo.LEAST_DELAY)
            amplitude = amplitude.clamp(0.0, echo.MOST_AMPLITUDE)

            score = self._score_of(_grid_of(delay, amplitude, turns), spectra, pulse, noise)
            likeliest = score.argmax(1)
            ninth = torch.div(likeliest, 9, rounding_mode="floor")
            third = torch.div(likeliest, 3, rounding_mode="floor") - 3 * ninth
            rest = likeliest - 9 * ninth - 3 * third
            chosen = zip((delay, amplitude, turns), (ninth, third, rest), strict=True)
            axes = torch.stack([axis.gather(1, at[:, None])[:, 0] for axis, at in chosen])
        return axes

    def _score_of(
        self, channels: torch.Tensor, spectra: Spectra, pulse: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Log likelihood of channels of each frame, as of `echo.find_echo`: float32 (n, 27).

        Args:
            channels: delay, amplitude and turns, float32 (3, n, 27).
            spectra: of the frames.
            pulse: their response in the groups, float32 (n, 2, groups).
            noise: over the signal, float32 (n,).
        """
        response = _channel(channels[..., None, None], self.grouped_rates)  # (n, 27, 2, groups)
        received = response * pulse[:, None]
        used = (self.counts > 0).float()
        power = received.power()
        mean = (used * power.sum(2)).sum(2) / used.sum()  # (n, 27)
        power = power / mean[..., None, None]
        loaded = noise[:, None, None] + power.sum(2)  # (n, 27, groups)

        inverse = used / (loaded * noise[:, None, None])
        of_cross = (received[:, :, 0] * received[:, :, 1].conj()) * (inverse / mean[..., None])
        of_power = (inverse[:, :, None] * power).flatten(2) * spectra.power[:, None]
        matched = (of_cross * spectra.cross[:, None]).sum(2)
        return of_power.sum(2) - (self.counts * loaded.log()).sum(2) + 2 * matched.power().sqrt()

    def without(self, band: Pair, response: torch.Tensor, level: Level, found: Found) -> Equalized:
        """The symbols of frames without their echo; arguments as of `forward`."""
        axes = torch.stack([found.delay, found.amplitude, found.turns])
        channel = _channel(axes[..., None], self.rates)  # (n, 2 * symbols)
        gain = channel.power().sqrt()
        cleared = band * channel.conj() * (1 / gain)
        return self.receiver(cleared, response * gain, level)


def _channel(axes: torch.Tensor, rates: torch.Tensor) -> Pair:
    """As `echo.channel_response`, of delay, amplitude and turns (3, ...) that fit to the rates."""
    delay, amplitude, turns = axes
    late = Pair.polar(amplitude, 2 * math.pi * (turns - rates * delay))
    return Pair(1 + late.re, late.im)


def _grid_of(delay: torch.Tensor, amplitude: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """All combinations of three axes (n, 3) each: float32 (3, n, 27)."""
    n = delay.shape[0]
    every = (
        delay[:, :, None, None].expand(n, 3, 3, 3),
        amplitude[:, None, :, None].expand(n, 3, 3, 3),
        turns[:, None, None, :].expand(n, 3, 3, 3),
    )
    return torch.stack(every).flatten(2)


def _is_first(grid: torch.Tensor) -> torch.Tensor:
    """Which of a grid (3, echoes) the quick look tries first, with no echo among them."""
    delay, amplitude, turns = grid
    of_delay = torch.isin(delay, torch.tensor((0.0, *echo.FIRST_DELAYS)))
    of_amplitude = torch.isin(amplitude, torch.tensor((0.0, echo.FIRST_AMPLITUDE)))
    return (
        of_delay
        & of_amplitude
        & torch.isin(turns, torch.arange(echo.FIRST_PHASES) / echo.FIRST_PHASES)
    )


def _of_each(values: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """One row of each: values (n, rows, ...) and numbers (n,) -> (n, ...)."""
    index = number.reshape(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index)[:, 0]


def kurtosis(points: Pair) -> torch.Tensor:
    """As `long.kurtosis`: (n, symbols) -> (n,)."""
    power = points.power()
    return power.square().mean(1) / power.mean(1).square()
