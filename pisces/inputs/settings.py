"""What is binned, and how bins become an image: the sections `render` and `draw` of params.yaml."""

from dataclasses import dataclass
from typing import Literal

ViewName = Literal["raw", "symbol", "noise", "differential"]
"""A key of `views.VIEWS`."""
OtherViews = Literal["held", "redrawn"]
"""Where symbols of one view are changed, whether the others stay or show the new samples."""
PulseName = Literal["estimated", "rrc", "rml2018", "chosen"]
"""Where the pulse of `symbol` comes from; see `receiver.pulse`."""
EqualizerName = Literal["pulse", "blind"]
"""What `symbol` equalises: the pulse, or pulse and echo of each frame; see `receiver.echo`."""
Method = Literal["log_histogram", "histogram", "max_normalized", "gaussian", "enhanced"]

FEWEST_SPS, MOST_SPS = 2, 1024
"""Samples a symbol that an input can be made for."""
FEWEST_REDRAWN_SPS = 4
"""Samples a symbol in which symbols can be drawn anew: fewer leave no band to tell the noise by."""


@dataclass(frozen=True)
class Extent:
    """The image of a view spans -extent..extent on both axes; one of each `ViewName`."""

    raw: float  # RMS of the frame
    symbol: float  # RMS of the symbols
    noise: float  # dB above the floor of the view
    differential: float  # RMS of the products


@dataclass(frozen=True)
class RenderSettings:
    """Which points of a frame are counted, and in which pixels; see `inputs.binning`."""

    views: tuple[ViewName, ...]
    size: int  # pixels along each side, even
    extent: Extent
    sps: int  # samples a symbol of the data
    pulse: PulseName  # of `symbol`: found blind from the file, told, or chosen frame by frame
    rolloff: float  # of a pulse `rrc`
    carrier_offset_std: float  # cycles a sample that `symbol` expects
    delay: int  # samples between the two factors of `differential`
    response: tuple[float, ...] = ()
    """Amplitude response of an estimated pulse at `receiver.pulse.RATES`: found, not configured."""
    samples: int = 0
    """Of a frame: found, not configured; 0 in settings written before it was kept."""
    equalizer: EqualizerName = "pulse"  # of `symbol`; that of settings written before it was one


@dataclass(frozen=True)
class DrawSettings:
    """How the points in the pixels become an image; see `inputs.drawing`."""

    method: Method
    sigma_px: float  # standard deviation of the `gaussian` kernel
    decay_px: tuple[float, float, float]  # of the kernels of `enhanced`, one a channel


def check_sps(sps: int, key: str) -> None:
    """Raises ValueError, which names the key, unless a symbol can have so many samples."""
    if not FEWEST_SPS <= sps <= MOST_SPS:
        raise ValueError(f"{key} = {sps} must be {FEWEST_SPS} to {MOST_SPS} samples a symbol")
