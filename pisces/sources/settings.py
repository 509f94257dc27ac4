"""Which frames are taken from a file, and which are generated: sections of params.yaml, for the
library.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """Which frames of which file are taken: the section `data`."""

    path: str
    class_order: str  # a key of CLASS_ORDERS: what the columns of `Y` mean
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    frames_per_cell: int | None  # the first so many usable ones; None: all


@dataclass(frozen=True)
class MultipathSettings:
    """A Rician channel; see `synthesis.multipath_response`."""

    k_factor_db: float  # power of the direct path over that of all scattered ones
    paths: int  # scattered ones
    delay_spread: float  # RMS, in samples


@dataclass(frozen=True)
class SynthesisSettings:
    """What is generated: the section `synthesize`."""

    format: str  # hdf5, as RML2018.01A, or pkl, as RML2016.10a
    snrs_db: tuple[int, ...]
    frames_per_cell: int
    samples: int  # a frame
    sps: int  # samples a symbol, even
    rolloff: tuple[float, float]  # range of the uniform roll-off
    carrier_offset_std: float  # cycles a sample
    gmsk_bt: float
    multipath: MultipathSettings | None
