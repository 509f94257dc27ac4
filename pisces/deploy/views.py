"""The views of `inputs.views` and their pixels in real arithmetic: frames to images."""

import math

import numpy as np
import torch
from torch import nn

from pisces.deploy.echo import EchoSearch
from pisces.deploy.pairs import Dft, Pair
from pisces.deploy.pulse import Pulse
from pisces.deploy.short import ShortReceiver
from pisces.deploy.symbols import Carrier, Receiver, Spectra, occupied_band
from pisces.inputs import views
from pisces.inputs.drawing import Drawing
from pisces.inputs.receiver.chain import is_short
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.settings import RenderSettings


class SymbolView(nn.Module):
    """Frames over their RMS (n, samples) -> symbols (n, points), as `views.symbols_of`."""

    def __init__(self, samples: int, render: RenderSettings) -> None:
        super().__init__()
        self.symbols = samples // render.sps
        self.dft = Dft(samples)
        self.spectra = Spectra(samples, render.sps)
        self.pulse = Pulse(samples, render)
        self.receiver = Receiver(samples, render.sps)
        is_blind = render.equalizer == "blind"
        self.search = EchoSearch(self.receiver, self.pulse.responses) if is_blind else None
        self.carrier = Carrier(self.symbols - 2 * EDGE, render.carrier_offset_std * render.sps)

    def forward(self, iq: Pair) -> Pair:
        tapered, level = self.spectra(iq)
        tapered_band = occupied_band(tapered, self.symbols)
        band = occupied_band(self.dft(iq), self.symbols)
        response = self.pulse(tapered_band, level.noise)

        if self.search is None:
            equalized = self.receiver(band, response, level)
        else:
            equalized = self.search(band, tapered_band, response, level)
        return self.carrier(equalized.points, equalized.disturbance)


class ShortSymbolView(nn.Module):
    """As `SymbolView`, of frames so short that they are equalised by least squares."""

    def __init__(self, samples: int, render: RenderSettings) -> None:
        super().__init__()
        self.symbols = samples // render.sps
        self.spectra = Spectra(samples, render.sps)
        self.pulse = Pulse(samples, render)
        self.receiver = ShortReceiver(self.pulse.responses, render.sps)
        self.carrier = Carrier(self.symbols, render.carrier_offset_std * render.sps)

    def forward(self, iq: Pair) -> Pair:
        tapered, level = self.spectra(iq)
        number = self.pulse.number(occupied_band(tapered, self.symbols), level.noise)
        return self.carrier(*self.receiver(iq, number, level))


class NoiseView(nn.Module):
    """Frames over their RMS (n, samples) -> what lies outside the band, as `views.noise`."""

    taps: torch.Tensor
    steep: torch.Tensor

    def __init__(self, samples: int, render: RenderSettings) -> None:
        super().__init__()
        self.samples, self.sps = samples, render.sps
        self.dft = Dft(samples)
        taps = views._high_pass(render.sps)
        self.energy = float(np.square(taps).sum())
        # A convolution of torch's is a correlation: the taps of linear phase are their own mirror.
        self.register_buffer("taps", torch.from_numpy(taps)[None, None], persistent=False)
        self.register_buffer("steep", torch.tensor(views.STEEP)[None, None], persistent=False)

    def forward(self, iq: Pair) -> Pair:
        outside = iq.each(self.filtered)
        power = outside.power()
        density = power.mean(1, keepdim=True) / self.energy
        reference = iq.power().mean(1, keepdim=True) * self.energy

        gain_db = self.floor_gain_db(iq, density) - 10 * reference.log10()
        level_db = 10 * power.clamp_min(views.TINIEST).log10()
        radius = (level_db + (gain_db - views.FLOOR_DB)).clamp_min(0)
        return outside * (radius * power.clamp_min(views.TINIEST).rsqrt())

    def filtered(self, part: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv1d(part[:, None], self.taps)[:, 0]

    def floor_gain_db(self, iq: Pair, outer: torch.Tensor) -> torch.Tensor:
        """By how much a low-pass has lowered the noise far from the signal: dB, (n, 1)."""
        edge, beside = 3 / 4 * self.samples / self.sps, 7 / 8 * self.samples / self.sps
        lowest, highest = math.ceil(edge + views.WINDOW_REACH), math.floor(beside)
        if highest - lowest + 1 < views.LEAST_BINS:
            return torch.zeros_like(outer)

        spectrum = self.dft(iq)
        above = self.windowed_power(spectrum, lowest, highest)
        below = self.windowed_power(spectrum, self.samples - highest, self.samples - lowest)
        near = torch.cat([above, below], 1).mean(1, keepdim=True)
        inner = near / (self.samples * sum(weight**2 for weight in views.STEEP))
        gain_db = 10 * (inner.clamp_min(views.TINY).log10() - outer.clamp_min(views.TINY).log10())
        return torch.where(gain_db > views.LOWPASSED_DB, gain_db, 0.0)

    def windowed_power(self, spectrum: Pair, first: int, last: int) -> torch.Tensor:
        """Power of the bins `first` to `last` of the windowed frames: (n, bins)."""
        reach = len(views.STEEP) // 2
        beside = spectrum[:, first - reach : last + 1 + reach]
        windowed = beside.each(lambda part: nn.functional.conv1d(part[:, None], self.steep)[:, 0])
        return windowed.power()


class RawView(nn.Module):
    """The samples themselves."""

    def forward(self, iq: Pair) -> Pair:
        return iq


class DifferentialView(nn.Module):
    """x[n] conj(x[n - delay]) over its RMS, as `views.differential`."""

    def __init__(self, render: RenderSettings) -> None:
        super().__init__()
        self.delay = render.delay

    def forward(self, iq: Pair) -> Pair:
        points = iq[:, self.delay :] * iq[:, : -self.delay].conj()
        power = points.power().mean(1, keepdim=True)
        return points * torch.where(power > 0, power, 1.0).rsqrt()


def view_of(name: str, samples: int, render: RenderSettings) -> nn.Module:
    """The module of a view.

    Args:
        name: a key of `views.VIEWS`.
        samples: of a frame.
        render: how the view is made.

    Returns:
        Frames over their RMS, `Pair` (n, samples) -> points, `Pair` (n, points).

    Raises:
        ValueError: where the view cannot be made of frames of this length.
    """
    views.points_of(name, torch.ones(1, samples, dtype=torch.complex64), render)  # or it raises
    match name:
        case "symbol":
            if is_short(samples, render.sps):
                return ShortSymbolView(samples, render)
            return SymbolView(samples, render)
        case "noise":
            return NoiseView(samples, render)
        case "differential":
            return DifferentialView(render)
    return RawView()


class Images(nn.Module):
    """Frames over their RMS (n, samples) -> images (n, channels, size, size)."""

    def __init__(self, samples: int, drawing: Drawing) -> None:
        super().__init__()
        self.drawing = drawing
        render = drawing.render
        self.views = nn.ModuleList(view_of(name, samples, render) for name in render.views)

    def forward(self, iq: Pair) -> torch.Tensor:
        return self.drawing(self.count(self.pixels(iq)))

    def pixels(self, iq: Pair) -> torch.Tensor:
        """Pixel numbers as of `binning.encode`, int64 (n, points of all views)."""
        render = self.drawing.render
        found = []
        for number, (name, view) in enumerate(zip(render.views, self.views, strict=True)):
            of_view = pixel_of(view(iq), getattr(render.extent, name), render.size)
            inside = of_view + number * render.size**2
            found.append(torch.where(of_view < 0, self.drawing.pixels, inside))
        return torch.cat(found, 1)

    def count(self, pixels: torch.Tensor) -> torch.Tensor:
        """Points in each pixel, float32 (n, pixels)."""
        counts = torch.zeros(pixels.shape[0], self.drawing.pixels + 1, device=pixels.device)
        ones = torch.ones_like(pixels, dtype=torch.float32)
        return counts.scatter_add(1, pixels, ones)[:, :-1]


def pixel_of(points: Pair, extent: float, size: int) -> torch.Tensor:
    """The pixel of every point as of `binning.bin_points`, -1 beyond the extent: int64.

    Args:
        points: of any shape.
        extent: of the image, to either side.
        size: pixels along each side, even.
    """
    half = size // 2
    scaled = points * (half / extent)
    column, row_up = scaled.re.floor(), scaled.im.floor()
    inside = (column >= -half) & (column < half) & (row_up >= -half) & (row_up < half)
    pixel = column - size * row_up + ((half - 1) * size + half)
    return torch.where(inside, pixel, -1.0).long()
