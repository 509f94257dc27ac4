"""Which frames are taken from a file, and which are generated: sections of params.yaml, for the
library.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pisces.core.impairment_settings import ImpairmentSettings, Range
from pisces.core.modulations import Ask
from pisces.core.pulses import Pulse
from pisces.core.snr_label import SnrLabel


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
    frame_samples: int = 1024  # of frames that are cut from recordings
    own_classes: tuple[str, ...] = ()  # names of classes beyond those of the data sets
    skip_unusable: bool = False  # whether frames that cannot be normalised are left out, or refused


@dataclass(frozen=True)
class MultipathSettings:
    """A Rician channel; see `chain.multipath_response`."""

    k_factor_db: float  # power of the direct path over that of all scattered ones
    paths: int  # scattered ones
    delay_spread: float  # RMS, in samples


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
