"""Views of a frame: sets of points that make timing, noise or changes of phase visible.

Each view turns frames, complex64 (n, samples), into points of the complex plane, complex64 (n,
points), in a unit of its own that no other frame decides. All of it is linear algebra and FFTs on
whole batches, on any device.

A further view is two functions in `VIEWS`, a name in `inputs.settings.ViewName` and an extent.
"""

import math
from collections.abc import Callable
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy import signal

from pisces.inputs.receiver.chain import Symbols, is_short, receive, receive_observed
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.receiver.pulse import fixed_response, likeliest_response, responses_of
from pisces.inputs.receiver.spectrum import Observed, observe, power_of, scaled
from pisces.inputs.settings import RenderSettings

FLOOR_DB = -70.0
"""Level at the centre of the `noise` view."""
STOP_BAND_DB = 80.0
"""Attenuation of the signal's band in the `noise` view: below `FLOOR_DB`."""

LOWPASSED_DB = 6.0
"""By which noise beside the signal must exceed that far from it, to be the floor instead.

About five standard deviations: two dozen bins of such a window are worth half as many.
"""
WINDOW_REACH, LEAST_BINS = 4, 8
"""Bins to the signal that its window needs, and bins on a side from which on noise is told."""
STEEP = (-0.00584, 0.07064, -0.244145, 0.35875, -0.244145, 0.07064, -0.00584)
"""Bins -3 to 3 of a Blackman-Harris window: side lobes of -92 dB, `WINDOW_REACH` bins from the peak
on (Harris, Proc. IEEE 66 (1978) 51)."""
TINY = 1e-20
"""Keeps powers of zero from dividing by zero."""
TINIEST = 1e-37
"""As `TINY`, of the power of one point."""


class Frames:
    """Frames, and the spectrum that several views of them share."""

    def __init__(self, iq: torch.Tensor):
        self.iq = iq
        """Complex64 (n, samples)."""

    @cached_property
    def spectrum(self) -> torch.Tensor:
        """Complex64 (n, samples), 0 cycles a sample first."""
        return torch.fft.fft(self.iq)


class View(NamedTuple):
    """How a view is made; either function raises ValueError for frames that are too short."""

    points: Callable[[torch.Tensor, RenderSettings], torch.Tensor]
    """Frames over their RMS, complex64 (n, samples) -> points, complex64 (n, points)."""
    samples: Callable[[torch.Tensor, RenderSettings], torch.Tensor]
    """The same frames -> numbers of the samples that each point stands for.

    They are int64 (n, points, samples a point), or (points, samples a point) where they are those
    of every frame."""
    turns: bool = True
    """Whether a frame turned by 90 degrees has its points turned alike; else they stay where they
    are. Of a conjugated frame every view has the conjugated points."""


def points_of(view: str, iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """The points of a view.

    Args:
        view: a key of `VIEWS`.
        iq: frames over their RMS, complex64 (n, samples).
        render: how the view is made.

    Returns:
        complex64 (n, points).

    Raises:
        ValueError: where the view cannot be made of frames of this length.
    """
    return VIEWS[view].points(iq, render)


def samples_of(view: str, iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """Which samples each point of a view stands for.

    `raw`: the sample itself. `symbol`: the sps samples nearest to its instant; at the ends of a
    short frame, the nearest that there are. `noise`: the sample in the middle of the filter.
    `differential`: the two factors. Filters reach further, but weigh these most.

    Args:
        view: a key of `VIEWS`.
        iq: frames, complex64 (n, samples).
        render: how the view is made.

    Returns:
        Numbers of samples, int64 (n, points, samples a point).

    Raises:
        ValueError: as `points_of`.
    """
    return VIEWS[view].samples(iq, render).expand(len(iq), -1, -1)


def _every_sample(iq: torch.Tensor) -> torch.Tensor:
    return torch.arange(iq.shape[1], device=iq.device)


def _raw_points(iq: torch.Tensor, _render: RenderSettings) -> torch.Tensor:
    return iq


def _raw_samples(iq: torch.Tensor, _render: RenderSettings) -> torch.Tensor:
    return _every_sample(iq)[:, None]


def _symbol_points(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    return symbols_of(iq, render).points


def _symbol_samples(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    received = symbols_of(iq, render)
    left_out = 0 if is_short(iq.shape[1], render.sps) else EDGE
    symbols = torch.arange(received.points.shape[1], device=iq.device) + left_out

    # Of symbol 0, (n, 1); rounded once, so that no two symbols share a sample.
    first = ((received.timing - 0.5) * render.sps).ceil().long()
    starts = (first + symbols * render.sps).clamp(0, iq.shape[1] - render.sps)  # (n, points)
    return starts[..., None] + torch.arange(render.sps, device=iq.device)


def _noise_points(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    return noise(iq, render.sps)


def _noise_samples(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    reach = len(_high_pass(render.sps)) // 2
    return _every_sample(iq)[reach:-reach, None]


def _differential_points(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    return differential(iq, render.delay)


def _differential_samples(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    every = _every_sample(iq)
    return torch.stack([every[render.delay :], every[: -render.delay]], 1)


VIEWS = {
    "raw": View(_raw_points, _raw_samples),
    "symbol": View(_symbol_points, _symbol_samples),
    "noise": View(_noise_points, _noise_samples),
    "differential": View(_differential_points, _differential_samples, turns=False),
}
"""Name, as in `render.views` -> how the view is made."""


def symbols_of(iq: torch.Tensor, render: RenderSettings) -> Symbols:
    """One sample a symbol, at the instant where the eye is open, synchronised and equalised.

    The receiver of `receiver.chain`, for the pulse that `render` names. Of OQPSK, whose I and Q are
    half a symbol apart, it is the eye of one of the two.

    Args:
        iq: frames, complex64 (n, samples), of any power but zero.
        render: samples a symbol, the pulse, and the carrier offset to expect.

    Returns:
        What was received of each frame; see `receiver.chain.Symbols`.

    Raises:
        ValueError: when the samples are not a whole number of symbols, or too few of them.

    >>> import numpy as np
    >>> import torch
    >>> from pisces.core.modulations import constellation
    >>> from pisces.inputs.settings import Extent
    >>> from pisces.sources.modulators import shape_symbols
    >>> sent = np.random.default_rng(1).choice(constellation("QPSK"), (5, 128))
    >>> iq = shape_symbols(sent, sps=8, rolloff=0.35, timing=0.3).astype(np.complex64)
    >>> extent = Extent(raw=2.5, symbol=2.0, noise=80.0, differential=3.0)
    >>> render = RenderSettings(
    ...     ("symbol",), 64, extent, sps=8, pulse="rrc", rolloff=0.35, carrier_offset_std=3.3e-5,
    ...     delay=4,
    ... )
    >>> symbols = symbols_of(torch.from_numpy(iq), render).points
    >>> symbols.shape
    torch.Size([5, 120])
    >>> bool(symbols.abs().std() < 0.1)  # QPSK: four points on one circle
    True
    """
    _check_symbols(iq.shape[1], render.sps)
    return receive(
        iq,
        responses_of(iq, render),
        sps=render.sps,
        carrier_offset_std=render.carrier_offset_std,
        blind=render.equalizer == "blind",
    )


def observed_of(frames: Frames, render: RenderSettings) -> Observed:
    """What `symbols_from` goes by, of frames over their RMS.

    Raises:
        ValueError: as `symbols_of`.
    """
    _check_symbols(frames.iq.shape[1], render.sps)
    return observe(frames.iq, frames.spectrum, render.sps)


def symbols_from(observed: Observed, iq: torch.Tensor, render: RenderSettings) -> Symbols:
    """As `symbols_of`, of frames that were observed.

    Args:
        observed: as of `observed_of`.
        iq: the frames over their RMS, complex64 (n, samples).
        render: as of `symbols_of`.

    Returns:
        As `symbols_of`.
    """
    if render.pulse == "chosen":
        response = likeliest_response(observed, render.sps)
    else:
        response = fixed_response(iq.shape[1] // render.sps, render).to(iq.device)
    return receive_observed(
        observed,
        iq,
        response,
        sps=render.sps,
        carrier_offset_std=render.carrier_offset_std,
        blind=render.equalizer == "blind",
    )


def _check_symbols(samples: int, sps: int) -> None:
    if samples % sps or samples // sps <= 2 * EDGE:
        raise ValueError(
            f"frames of {samples} samples are not a whole number, above {2 * EDGE}, of symbols of "
            f"render.sps = {sps} samples; correct it, or leave symbol out of render.views"
        )


def noise(iq: torch.Tensor, sps: int) -> torch.Tensor:
    """What lies outside the signal's band, with its angle kept and its level as radius.

    The level is in dB above `FLOOR_DB`, where 0 dB is the power of the frame, scaled as if the
    noise was white: the points of white noise at -30 dB lie around radius -30 - `FLOOR_DB`.
    Whatever is lower than `FLOOR_DB` lies at the centre. Where a receiver's low-pass has taken the
    noise far from the signal, the level is that right beside it. Frames (n, samples) give (n,
    samples - taps + 1) points.

    Raises:
        ValueError: when the signal's band is (nearly) the whole band, or the frames are shorter
        than the filter.
    """
    return noise_of(Frames(iq), sps)


def noise_of(frames: Frames, sps: int) -> torch.Tensor:
    """As `noise`."""
    if sps < 3:
        raise ValueError(
            f"render.sps = {sps} leaves no band without signal; noise needs 3 or more: "
            "leave it out of render.views"
        )
    samples, taps = frames.iq.shape[1], _high_pass(sps)
    if samples < len(taps):
        raise ValueError(
            f"frames of {samples} samples are shorter than the {len(taps)} taps that noise "
            f"needs at render.sps = {sps}; leave it out of render.views"
        )
    response = _high_pass_response(sps, samples, frames.iq.device)
    filtered = torch.fft.ifft(scaled(frames.spectrum, response))
    reach = len(taps) // 2
    outside = filtered[:, reach : samples - reach]  # the circular filter wraps around beside it
    power = power_of(outside)

    energy = float(np.square(taps).sum())
    density = power.mean(1, keepdim=True) / energy
    gain_db = _floor_gain_db(frames.spectrum, density, sps)
    gain_db = gain_db - 20 * (energy**0.5 * _rms(frames.iq)).log10()

    # Of each point the direction; the least number keeps a point at the centre from 0 / 0.
    to_unit = power.clamp_min(TINIEST).rsqrt_()
    radius = power.log10_().mul_(10).add_(gain_db - FLOOR_DB).clamp_min_(0)
    return outside * radius.mul_(to_unit)


def _floor_gain_db(spectrum: torch.Tensor, outer: torch.Tensor, sps: int) -> torch.Tensor:
    """By how much a low-pass has lowered the noise far from the signal: dB, (n, 1).

    The density right beside the signal is that of bins whose window leaks less than `FLOOR_DB`. It
    counts where it is more than `LOWPASSED_DB` over `outer`; else the gain is exactly 0, as it is
    for frames so short that too few bins lie there.

    Args:
        spectrum: of frames, complex64 (n, samples).
        outer: density far from the signal, power a sample of white noise of it, float32 (n, 1).
        sps: samples a symbol.
    """
    samples = spectrum.shape[1]
    edge, beside = 3 / 4 * samples / sps, 7 / 8 * samples / sps  # in bins
    lowest, highest = math.ceil(edge + WINDOW_REACH), math.floor(beside)
    if highest - lowest + 1 < LEAST_BINS:
        return torch.zeros_like(outer)

    # Above the signal and below it: the highest bins of a spectrum are the negative frequencies.
    reach = len(STEEP) // 2
    above = spectrum[:, lowest - reach : highest + reach + 1]
    below = spectrum[:, samples - highest - reach : samples - lowest + reach + 1]
    near = torch.cat([above, below]) @ _steep(highest - lowest + 1, spectrum.device)
    of_above, of_below = power_of(near).mean(1, keepdim=True).chunk(2)
    energy = samples * sum(weight**2 for weight in STEEP)
    inner = (of_above + of_below) / (2 * energy)
    gain_db = 10 * torch.log10(inner.clamp_min(TINY) / outer.clamp_min(TINY))
    return gain_db.where(gain_db > LOWPASSED_DB, 0)


@cache
def _steep(bins: int, device: torch.device) -> torch.Tensor:
    """What makes of a spectrum that of frames times the window of `STEEP`.

    A sum of cosines over a frame is, in the spectrum, a sum of bins beside each other: complex64
    (bins + 6, bins), for the bins that have three beside them on either side.
    """
    rows = np.arange(bins)
    matrix = np.zeros((bins + len(STEEP) - 1, bins), np.complex64)
    for shift, weight in enumerate(STEEP):
        matrix[rows + shift, rows] = weight
    return torch.from_numpy(matrix).to(device)


@cache
def _high_pass(sps: int) -> np.ndarray:
    """Linear-phase taps, an odd number of them, that pass what is outside the signal's band.

    Stop band to 3/4 of a symbol rate, the edge at a roll-off of 1/2; pass band from 5/4.
    """
    # Both frequencies are relative to half of the sample rate.
    count, beta = signal.kaiserord(STOP_BAND_DB, width=1 / sps)
    taps = signal.firwin(count | 1, 2 / sps, window=("kaiser", beta), pass_zero=False)
    return taps.astype(np.float32)


@cache
def _high_pass_response(sps: int, samples: int, device: torch.device) -> torch.Tensor:
    """Spectrum of the taps about their middle, which is real, as `scaled` takes it."""
    taps = _high_pass(sps)
    from_middle = np.roll(np.pad(taps.astype(float), (0, samples - len(taps))), -(len(taps) // 2))
    response = torch.from_numpy(np.fft.fft(from_middle).real).float()
    return response.repeat_interleave(2).to(device)


def differential(iq: torch.Tensor, delay: int) -> torch.Tensor:
    """x[n] conj(x[n - delay]) over its RMS: (n, samples) -> (n, samples - delay).

    It turns with the carrier's offset, and is blind to its phase.

    Raises:
        ValueError: when no sample is left.
    """
    if delay >= iq.shape[1]:
        raise ValueError(
            f"render.delay = {delay} is no less than the {iq.shape[1]} samples of a frame; "
            "make it smaller"
        )
    points = iq[:, delay:] * iq[:, :-delay].conj()
    return points / _rms(points)


def _rms(points: torch.Tensor) -> torch.Tensor:
    """Root mean square of each row, (n, 1); 1 where all is zero."""
    norm = torch.linalg.vector_norm(torch.view_as_real(points).flatten(1), dim=1, keepdim=True)
    return torch.where(norm > 0, norm / points.shape[1] ** 0.5, 1)
