"""The receiver of `inputs.receiver` in real arithmetic: frames to symbols.

The equations, and where they come from, stand there. Here is the same for a graph, without a branch
that depends on a frame.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from pisces.deploy.pairs import Dft, Pair, joined
from pisces.inputs.receiver import carrier, equalizer, timing
from pisces.inputs.receiver.chain import LEAST_SHARE, LEAST_SNR
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.receiver.spectrum import band_rates, tukey_window

CPU = torch.device("cpu")


class Level(NamedTuple):
    """Power of signal and noise of n frames, float32 (n, 1) each."""

    signal: torch.Tensor
    noise: torch.Tensor


class Equalized(NamedTuple):
    """Symbols of n frames, in the unit of the frames."""

    points: Pair
    """(n, symbols)."""
    disturbance: torch.Tensor
    """Power in each point of noise and of other symbols, float32 (n, 1)."""
    staggered: torch.Tensor
    """Whether I and Q are half a symbol apart, bool (n, 1)."""


class Spectra(nn.Module):
    """Frames of unit power (n, samples) -> their spectrum, tapered, and the level of the noise."""

    window: torch.Tensor

    def __init__(self, samples: int, sps: int) -> None:
        super().__init__()
        self.samples, self.symbols = samples, samples // sps
        self.dft = Dft(samples)
        window = tukey_window(samples, CPU)
        unit_energy = window / window.square().sum().sqrt()
        self.register_buffer("window", unit_energy, persistent=False)

    def forward(self, iq: Pair) -> tuple[Pair, Level]:
        tapered = self.dft(iq * self.window)
        noise = self.noise(tapered)
        signal = torch.maximum(1 - noise, LEAST_SNR * noise)
        return tapered, Level(signal, noise)

    def noise(self, tapered: Pair) -> torch.Tensor:
        """As `spectrum.noise_power`: float32 (n, 1)."""
        if self.samples < 3 * self.symbols:
            return torch.zeros_like(tapered.re[:, :1])
        beyond = tapered[:, self.symbols + 1 : self.samples - self.symbols].power()
        lower_half = (beyond.shape[1] + 1) // 2
        smallest = beyond.topk(lower_half, dim=1, largest=False).values
        return smallest[:, -1:] / math.log(2)


def occupied_band(spectrum: Pair, symbols: int) -> Pair:
    """As `spectrum.occupied_band`: (n, samples) -> (n, 2 * symbols)."""
    return joined([spectrum[:, -symbols:], spectrum[:, :symbols]], 1)


class Receiver(nn.Module):
    """The band (n, 2 * symbols) of long frames and a pulse -> symbols, timed and equalised."""

    rates: torch.Tensor
    weights: torch.Tensor
    places: torch.Tensor
    shifts: torch.Tensor

    def __init__(self, samples: int, sps: int) -> None:
        super().__init__()
        self.sps, self.symbols = sps, samples // sps
        self.idft = Dft(self.symbols, inverse=True)
        places = torch.arange(self.symbols) - (self.symbols - 1) / 2
        self.register_buffer("rates", band_rates(self.symbols), persistent=False)
        self.register_buffer("weights", tukey_window(self.symbols, CPU), persistent=False)
        self.register_buffer("places", places, persistent=False)
        shifts = torch.tensor([-equalizer.STEP, 0.0, equalizer.STEP])
        self.register_buffer("shifts", shifts, persistent=False)

    def forward(self, band: Pair, response: torch.Tensor, level: Level) -> Equalized:
        """As `long.receive_long` without a search for echoes.

        Args:
            band: (n, 2 * symbols).
            response: of the pulse, float32 (1 or n, 2 * symbols).
            level: of the frames.

        Returns:
            The symbols without `EDGE` at either end.
        """
        at, drift, staggered = self.timing(band, response)
        points, disturbance = self.equalize(band, response, at + self.shifts, level)
        early, middle, late = points[:, 0], points[:, 1], points[:, 2]

        # A parabola through the instants about each symbol; without a drift it changes nothing.
        steps = drift * (self.places / self.symbols) / equalizer.STEP  # (n, symbols)
        bent = (late - middle * 2 + early) * steps.square()
        points = middle + ((late - early) * steps + bent) * 0.5
        return Equalized(points[:, EDGE:-EDGE], disturbance, staggered)

    def timing(
        self, band: Pair, response: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `timing.timing_of`: timing, drift, and whether I and Q are staggered, (n, 1) each."""
        lower, upper = band.halves()
        mirrored_upper, mirrored_lower = response.chunk(2, 1)
        above = self.idft(upper * mirrored_upper)  # (n, symbols)
        below = self.idft(lower * mirrored_lower)
        beat = above * below.conj()

        of_power = (beat * self.weights).sum(1, keepdim=True)
        plus = (above * above * self.weights).sum(1, keepdim=True)
        minus = (below * below * self.weights).sum(1, keepdim=True)
        of_square = plus * minus.conj()

        strength = of_square.power().sqrt().sqrt()
        staggered = strength > timing.OFFSET_LINE_WINS * of_power.power().sqrt()
        in_power = -of_power.angle() / (2 * math.pi)
        in_square = -of_square.angle() / (4 * math.pi)
        drift = torch.where(staggered, 0.0, self.drift(beat, of_power))
        return torch.where(staggered, in_square, in_power), drift, staggered

    def drift(self, beat: Pair, line: Pair) -> torch.Tensor:
        """As `timing.timing_of` finds it: symbols over the frame, float32 (n, 1)."""
        if self.symbols < timing.DRIFT_SYMBOLS:
            return torch.zeros_like(line.re)
        whole = self.symbols // timing.BLOCKS * timing.BLOCKS
        strength = self.weights / line.power().clamp_min(timing.TINY)
        against_line = beat * line.conj() * strength

        def blocks(values: torch.Tensor) -> torch.Tensor:
            return values[:, :whole].unflatten(1, (timing.BLOCKS, -1)).sum(2)

        ahead, moment = blocks(against_line.im), blocks(self.places * against_line.re)
        energy = moment.square().sum(1, keepdim=True).clamp_min(timing.TINY)
        slope = (ahead * moment).sum(1, keepdim=True) / energy  # radians a symbol
        rest = ahead - slope * moment
        error = (rest.square().sum(1, keepdim=True) / (timing.BLOCKS - 1) / energy).sqrt()

        still = slope == 0
        relative = timing.DRIFT_NOISE * error / torch.where(still, 1.0, slope)
        shrunk = torch.where(still, 0.0, slope * (1 - relative.square()).clamp_min(0))
        drift = -shrunk * self.symbols / (2 * math.pi)
        return drift.clamp(-timing.MOST_DRIFT, timing.MOST_DRIFT)

    def equalize(
        self, band: Pair, response: torch.Tensor, at: torch.Tensor, level: Level
    ) -> tuple[Pair, torch.Tensor]:
        """As `equalizer.equalize`.

        Args:
            band: (n, 2 * symbols).
            response: of the pulse, float32 (1 or n, 2 * symbols).
            at: timings in symbols, float32 (n, timings).
            level: of the frames.

        Returns:
            Symbols (n, timings, symbols), and the power of what disturbs them, float32 (n, 1).
        """
        fold_lower, fold_upper = response.square().chunk(2, 1)
        fold = fold_lower + fold_upper  # (1 or n, symbols)
        mean_fold = fold.mean(1, keepdim=True)
        symbol_power = level.signal / mean_fold
        loading = level.noise / (self.sps * symbol_power) + equalizer.LEAST_LOADING * mean_fold
        gain = 1 / (fold + loading)  # (n, symbols)

        ramp = Pair.polar(1.0, 2 * math.pi * at[..., None] * self.rates)  # (n, timings, rates)
        lower, upper = ((band * response)[:, None] * ramp).halves()
        points = self.idft((lower + upper) * (gain / self.sps)[:, None])

        passed = fold * gain
        spread = (passed - passed.mean(1, keepdim=True)).square().mean(1, keepdim=True)
        of_noise = level.noise / self.sps * (passed * gain).mean(1, keepdim=True)
        return points, symbol_power * spread + of_noise


class Carrier(nn.Module):
    """Symbols (n, symbols) at any level -> of unit power, without carrier offset and phase."""

    offsets: torch.Tensor
    log_prior: torch.Tensor
    places: torch.Tensor

    def __init__(self, symbols: int, offset_std: float) -> None:
        """`symbols` that a frame has here; `offset_std` of the prior, in cycles a symbol."""
        super().__init__()
        search = carrier._search(symbols, offset_std, CPU)
        self.register_buffer("offsets", search.offsets, persistent=False)
        self.register_buffer("log_prior", search.log_prior, persistent=False)
        places = torch.arange(symbols) - (symbols - 1) / 2
        self.register_buffer("places", places, persistent=False)

        numbers = torch.arange(symbols)[:, None]
        for order, grid in search.grids.items():
            # The orthonormal spectrum of symbols and as many zeros, at the bins that count
            turns = (numbers * grid.bins % (2 * symbols)).double() / (2 * symbols)
            waves = Pair.polar((2 * symbols) ** -0.5, -2 * math.pi * turns)
            self.register_buffer(f"re_{order}", waves.re.float(), persistent=False)
            self.register_buffer(f"im_{order}", waves.im.float(), persistent=False)
            self.register_buffer(f"refine_{order}", grid.refine, persistent=False)

    def forward(self, points: Pair, disturbance: torch.Tensor) -> Pair:
        power = points.power().mean(1, keepdim=True)
        of_signal = torch.maximum(power - disturbance, LEAST_SHARE * power)
        points = points * torch.where(of_signal > 0, of_signal, 1.0).rsqrt()

        offset = self.offset(points)
        points = points * Pair.polar(1.0, -2 * math.pi * offset * self.places)
        square = points * points
        fourth = (square * square).sum(1, keepdim=True)
        phase = (fourth * -1.0).angle() / 4
        return points * Pair.polar(1.0, -phase)

    def offset(self, points: Pair) -> torch.Tensor:
        """As `carrier.find_carrier`: cycles a symbol, float32 (n, 1)."""
        power = points.power()
        phasors = _phasor_powers(points, power)
        outermost = _outermost(power)

        evidence = self.log_prior  # (n, offsets)
        for order in carrier.ORDERS:
            alike = self.line_power(phasors[order], order)
            of_outermost = self.line_power(phasors[order] * outermost, order)
            near = (alike + of_outermost) @ self.get_buffer(f"refine_{order}")
            evidence = evidence + carrier.INDEPENDENT * near
        return carrier._peak(evidence, self.offsets)

    def line_power(self, phasors: Pair, order: int) -> torch.Tensor:
        """Power of the lines of an order within the search range, float32 (n, bins)."""
        waves = Pair(self.get_buffer(f"re_{order}"), self.get_buffer(f"im_{order}"))
        re = phasors.re @ waves.re - phasors.im @ waves.im
        im = phasors.re @ waves.im + phasors.im @ waves.re
        return Pair(re, im).power()


def _outermost(power: torch.Tensor) -> torch.Tensor:
    """As `carrier.find_carrier` weighs the outermost points: float32 (n, symbols)."""
    relative = power / power.amax(1, keepdim=True).clamp_min(carrier.TINY)
    weights = relative.square().square()
    energy = weights.square().mean(1, keepdim=True)
    return weights * energy.clamp_min(carrier.TINY).rsqrt()


def _phasor_powers(points: Pair, power: torch.Tensor) -> dict[int, Pair]:
    """Order -> unit phasors at order times the phases of the points, (n, symbols)."""
    powers = {1: points * power.clamp_min(carrier.TINY**2).rsqrt()}
    for order in (2, 4, 8, 16, 32):
        powers[order] = powers[order // 2] * powers[order // 2]
    powers[12] = powers[8] * powers[4]
    powers[20] = powers[16] * powers[4]
    return powers
