"""Which impairments frames have, and between which limits: of the mappings `synthesize.impairments`
and `augment.impairments` of params.yaml.
"""

from dataclasses import dataclass

Range = tuple[float, float]
"""From the lowest to the highest; each frame draws uniformly between the two."""


@dataclass(frozen=True)
class AmplifierSettings:
    """Saturation of the transmitter's amplifier; see `impairments.rapp`."""

    smoothness: Range
    backoff_db: Range


@dataclass(frozen=True)
class EchoSettings:
    """One echo; see `impairments.echo_response`."""

    amplitude: Range  # over the direct path
    delay: Range  # symbols


@dataclass(frozen=True)
class InterferenceSettings:
    """Another transmitter of QPSK; see `impairments.add_interference`."""

    level_db: Range  # over the signal
    offset: Range  # of its carrier, in symbol rates


@dataclass(frozen=True)
class ImbalanceSettings:
    """I and Q of the receiver are not alike; see `impairments.iq_imbalance`."""

    gain_db: Range
    phase_deg: Range


@dataclass(frozen=True)
class QuantiserSettings:
    """The receiver's converter; see `impairments.quantise`."""

    bits: tuple[int, int]  # drawn whole, both ends included
    loading_db: Range


@dataclass(frozen=True)
class ImpairmentSettings:
    """What spoils frames beyond noise, None for what does not; `sources.chain` has the order."""

    amplifier: AmplifierSettings | None = None
    echo: EchoSettings | None = None
    clock_drift_ppm: Range | None = None  # change of the clock's offset over the frame
    phase_noise: Range | None = None  # linewidth, cycles a sample
    adjacent: InterferenceSettings | None = None
    cochannel: InterferenceSettings | None = None
    lowpass: Range | None = None  # cut-off, cycles a sample
    iq_imbalance: ImbalanceSettings | None = None
    dc_offset_db: Range | None = None  # over the frame
    quantiser: QuantiserSettings | None = None
