"""What spoils frames: the keys `synthesize.multipath`, `synthesize.impairments` and
`augment.impairments`.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from pisces.config.fields import Positive, Section, Unit, low_first

Level = Annotated[float, Field(ge=-100, le=100)]
Cycles = Unit("cycles a sample")

LevelRange = Annotated[tuple[Level, Level], AfterValidator(low_first)]


class Multipath(Section):
    """A Rician channel that is static over a frame."""

    k_factor_db: Annotated[float, Field(ge=-20, le=60)]
    """Power of the direct path over that of all scattered paths."""
    paths: Annotated[int, Field(ge=1, le=64)]
    """Number of scattered paths."""
    delay_spread: Annotated[Positive, Unit("samples")]
    """RMS delay spread of an exponential power delay profile."""


Knee = Annotated[float, Field(ge=0.5, le=20)]


class Amplifier(Section):
    """A transmitter whose amplifier saturates (Rapp)."""

    smoothness: Annotated[tuple[Knee, Knee], AfterValidator(low_first)]
    """Sharpness of the knee: 2 to 3 in practice, the greater the sharper."""
    backoff_db: Annotated[LevelRange, Unit("dB")]
    """Power of saturation over the mean power."""


Amplitude = Annotated[float, Field(ge=0, le=1)]
Delay = Annotated[float, Field(ge=0, le=2)]


class Echo(Section):
    """One echo of any phase."""

    amplitude: Annotated[tuple[Amplitude, Amplitude], AfterValidator(low_first)]
    """Over the direct path."""
    delay: Annotated[tuple[Delay, Delay], AfterValidator(low_first), Unit("symbols")]
    """Behind the direct path."""


Offset = Annotated[float, Field(ge=-32, le=32)]


class Interference(Section):
    """Another transmitter: QPSK of the same pulse and symbol rate."""

    level_db: LevelRange
    """Its power over that of the signal."""
    offset: Annotated[tuple[Offset, Offset], AfterValidator(low_first), Unit("symbol rates")]
    """Of its carrier."""


GainError = Annotated[float, Field(ge=-10, le=10)]
PhaseError = Annotated[float, Field(ge=-45, le=45)]


class Imbalance(Section):
    """A receiver whose branches I and Q are not alike."""

    gain_db: Annotated[tuple[GainError, GainError], AfterValidator(low_first)]
    """Of Q over I."""
    phase_deg: Annotated[tuple[PhaseError, PhaseError], AfterValidator(low_first), Unit("degrees")]
    """What the quarter turn between them is off."""


Bits = Annotated[int, Field(ge=1, le=24)]


class Quantiser(Section):
    """The receiver's converter."""

    bits: Annotated[tuple[Bits, Bits], AfterValidator(low_first), Unit("bits")]
    """Of each of I and Q; whole numbers from low to high are drawn."""
    loading_db: LevelRange
    """Power of its clipping level over the mean power of I or Q."""


Ppm = Annotated[float, Field(ge=-1000, le=1000)]
Linewidth = Annotated[float, Field(ge=0, le=0.1)]
Cutoff = Annotated[float, Field(gt=0, le=0.5)]


class Impairments(Section):
    """What spoils frames; the only keys that may be left out, which is the same as null."""

    amplifier: Amplifier | None = None
    """Saturation in the transmitter."""
    echo: Echo | None = None
    """In the channel."""
    clock_drift_ppm: (
        Annotated[tuple[Ppm, Ppm], AfterValidator(low_first), Unit("parts per million")] | None
    ) = None
    """Change of the clock's offset over a frame."""
    phase_noise: (
        Annotated[tuple[Linewidth, Linewidth], AfterValidator(low_first), Cycles] | None
    ) = None
    """Linewidth of an oscillator whose phase is a random walk."""
    adjacent: Interference | None = None
    """In the adjacent channel."""
    cochannel: Interference | None = None
    """In the same channel."""
    lowpass: Annotated[tuple[Cutoff, Cutoff], AfterValidator(low_first), Cycles] | None = None
    """Cut-off, at half the amplitude, of the receiver's filter on signal and noise."""
    iq_imbalance: Imbalance | None = None
    """In the receiver."""
    dc_offset_db: LevelRange | None = None
    """Power of a constant in the receiver over that of the frame."""
    quantiser: Quantiser | None = None
    """The last step of the receiver."""
