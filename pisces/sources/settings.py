"""Which frames are taken from a file, and which are generated: sections of params.yaml, for the
library.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pisces.core.modulations import Ask
from pisces.core.pulses import Pulse
from pisces.core.snr_label import SnrLabel

Range = tuple[float, float]
"""From the lowest to the highest; each frame draws uniformly between the two."""


@dataclass(frozen=True)
class Selection:
    """Which frames of which file are taken: the section `data`."""

    path: str
    class_order: str  # a key of CLASS_ORDERS: what the columns of `Y` mean
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    frames_per_cell: int | None  # the first so many usable ones; None: all
    snr_label: str = "auto"  # auto, or the convention of the labels: see `core.snr_label`
    snr_label_forced: bool = False  # whether that holds against the measured SNR


@dataclass(frozen=True)
class MultipathSettings:
    """A Rician channel; see `chain.multipath_response`."""

    k_factor_db: float  # power of the direct path over that of all scattered ones
    paths: int  # scattered ones
    delay_spread: float  # RMS, in samples


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
    """What spoils frames beyond noise, None for what does not; `chain` has the order."""

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


@dataclass(frozen=True)
class Physics:
    """What generated frames are made of."""

    samples: int  # a frame
    sps: int  # samples a symbol, even
    pulse: Pulse
    rolloff: Range  # of the pulse rrc, above 0 to 1
    ask: Ask
    apsk_rates: Mapping[str, tuple[str, ...]]  # modulation -> code rates; each frame draws one
    snr_label: SnrLabel
    carrier_offset_std: float  # cycles a sample
    clock_offset_ppm: float  # standard deviation
    gmsk_bt: float  # half-power bandwidth of the filter of GMSK and GFSK over the symbol rate
    multipath: MultipathSettings | None
    impairments: ImpairmentSettings | None


@dataclass(frozen=True)
class SynthesisSettings(Physics):
    """What is generated: the section `synthesize`."""

    format: str  # hdf5, as RML2018.01A, or pkl, as RML2016.10a
    snrs_db: tuple[int, ...]  # labels
    frames_per_cell: int
