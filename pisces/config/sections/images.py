"""How frames become images: the sections `render` and `draw`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pisces.config.fields import (
    Positive,
    SamplesPerSymbol,
    Section,
    Unit,
    Views,
    at_most,
    even,
    increasing,
)
from pisces.inputs.settings import EqualizerName, Method, PulseName

Reach = Annotated[float, Field(gt=0, le=100)]


class Extent(Section):
    """The image of a view spans -extent..extent on both axes."""

    raw: Annotated[Reach, Unit("RMS")]
    """In units of the RMS of the frame."""
    symbol: Annotated[Reach, Unit("RMS")]
    """In units of the RMS of the symbols."""
    noise: Annotated[Reach, Unit("dB")]
    """Above the floor of the view, at -70 dB."""
    differential: Annotated[Reach, Unit("RMS")]
    """In units of the RMS of the products."""


class Render(Section):
    """Which points of a frame are counted, in which pixels."""

    views: Views
    """Channels of the image; see pisces/inputs/views.py."""
    size: Annotated[int, Field(ge=8, le=254), AfterValidator(even), Unit("pixels")]
    """Along each side; at most 254, so that a pixel number fits in 16 bits."""
    extent: Extent
    """Half the side of the image, view by view."""
    sps: SamplesPerSymbol
    """Of the data, for the views `symbol` and `noise`."""
    pulse: PulseName
    """Of the receiver of `symbol`: `estimated` blind from the file, `rrc` of `rolloff`, `rml2018`
    as measured in RML2018.01A, or `chosen` frame by frame among these."""
    rolloff: Annotated[float, Field(gt=0, le=1)]
    """Of a pulse `rrc`."""
    equalizer: EqualizerName
    """Of the receiver of `symbol`: for the `pulse` alone, or `blind`, for the echo as well of each
    frame whose spectrum shows one."""
    carrier_offset_std: Annotated[float, Field(gt=0, le=0.01), Unit("cycles a sample")]
    """Standard deviation of the carrier offsets that `symbol` expects; it follows ten times as
    large ones where the modulation shows them."""
    delay: Annotated[int, Field(gt=0), at_most(65536, "the longest frame"), Unit("samples")]
    """Between the two factors of `differential`."""


class Draw(Section):
    """How the points in the pixels become an image."""

    method: Method
    """Brightness of a pixel, from the points in it and around it."""
    sigma_px: Annotated[float, Field(gt=0, le=50)]
    """Standard deviation of the `gaussian` kernel."""
    decay_px: Annotated[tuple[Positive, Positive, Positive], AfterValidator(increasing)]
    """Decay lengths of the three kernels of `enhanced`, one a channel."""
