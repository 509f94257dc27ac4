"""Which frames: the sections `base`, `data`, `synthesize` and `stratify`."""

import os
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pisces.config.fields import (
    ApskRates,
    CarrierOffset,
    Frames,
    Modulations,
    OwnClasses,
    SamplesPerSymbol,
    Section,
    Seed,
    Share,
    SnrsDb,
    Text,
    Unit,
    at_most,
    suggestion,
)
from pisces.config.sections.impairments import Impairments, Multipath
from pisces.core.modulations import MODULATIONS, NAMES, RML2016, Ask
from pisces.core.pulses import Pulse
from pisces.core.snr_label import SnrLabel

GENERATED = "data/raw/synthetic"
"""The file that `synthesize` writes, without its ending."""
GENERATED_FILES = (f"{GENERATED}.hdf5", f"{GENERATED}.pkl")


def as_it_stands(path: str) -> str:
    """as it stands: nothing replaces `~` or variables"""
    if path.startswith("~"):
        raise ValueError(
            f"~ is replaced by a shell only, and here is a folder of that name; "
            f"write {os.path.expanduser(path)}"
        )
    if path.startswith("$"):
        raise ValueError(
            f"variables are replaced by a shell only; write {os.path.expandvars(path)}"
        )
    if "://" in path:
        raise ValueError("is an address, and only files are read; download it and name the file")
    plain = os.path.normpath(path)
    if plain in GENERATED_FILES and path != plain:
        raise ValueError(
            "is another spelling of the file of generated frames, by which the stages do not know "
            f"it; write {plain}"
        )
    return path


class Base(Section):
    """What every stage shares."""

    seed: Seed
    """Root of every random choice but those of the training, which has `train.seed`: generated
    frames, split, masks and their controls."""


class Data(Section):
    """Which frames of which file are used."""

    path: Annotated[Text, AfterValidator(as_it_stands)]
    """HDF5 file in the layout of RML2018.01A, or pickle in that of RML2016.10a and RML2016.10b; its
    content tells, not its name. Or a folder of labelled recordings. Give an absolute path."""
    frame_samples: Annotated[int, Field(ge=64, le=65536, multiple_of=8), Unit("samples a frame")]
    """Length of the frames that are cut from recordings, at `render.sps` samples a symbol; those of
    a data set have their own."""
    class_order: Literal["fixed", "classes_txt"]
    """What the columns of `Y` mean: the right order, or that of the misleading `classes.txt`. A
    pickle names its classes and needs none."""
    own_classes: OwnClasses
    """Names of classes that no data set has, for recordings of your own; `modulations` may then
    take them too."""
    modulations: Modulations
    """Modulations that the model tells apart: of RML2018.01A, RML2016.10a or `own_classes`."""
    snrs_db: SnrsDb
    """SNR labels that the model tells apart."""
    frames_per_cell: Frames | None
    """Usable frames kept of each (modulation, SNR), the first in the file; null: all."""
    snr_label: Literal["auto", "power", "amplitude"]
    """What an SNR label means: the SNR in dB (power), or half of it (amplitude: true SNR in dB =
    2 x label, as in RML2018.01A and RML2016.10a). auto: what the measured SNR shows."""
    snr_label_forced: bool
    """Whether the SNR labels, and `snr_label`, hold although the measured SNR contradicts them."""
    skip_unusable: bool
    """Whether frames that cannot be normalised (all zero, NaN, infinite, beyond float32) are left
    out; false refuses the file and names their rows."""

    @field_validator("modulations")
    @classmethod
    def _modulations_are_known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple:
        known = (*NAMES, *info.data.get("own_classes", ()))
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{name!r} is not a modulation of RML2018.01A or RML2016.10a"
                    f"{suggestion(name, known)}; known are {', '.join(known)}; "
                    "add a name of your own to data.own_classes"
                )
        return names


class Synthesize(Section):
    """The file of generated frames, which is made only when `data.path` names it."""

    format: Literal["hdf5", "pkl"]
    """Layout, and ending, of the file: hdf5 as RML2018.01A with its 24 modulations, pkl as
    RML2016.10a with its 11."""
    snrs_db: SnrsDb
    """Labels of the SNR that are generated."""
    snr_label: SnrLabel
    """What a label means. `power`: the SNR in dB over the whole band. `amplitude`: half of it, as
    in RML2018.01A."""
    frames_per_cell: Annotated[
        int,
        Field(gt=0),
        at_most(100_000, "which are 20 GB of 24 modulations at each SNR"),
        Unit("frames"),
    ]
    """Frames of each (modulation, SNR)."""
    samples: Annotated[int, Field(ge=64, le=65536, multiple_of=8), Unit("samples a frame")]
    """Length of a frame: 1024 in RML2018.01A, 128 in RML2016.10a."""
    sps: Annotated[SamplesPerSymbol, Field(multiple_of=2)]
    """Even, for the half-symbol offset of OQPSK."""
    pulse: Pulse
    """Pulse of the linear modulations: root-raised cosine, or the one measured in RML2018.01A."""
    rolloff: tuple[float, float]
    """Range (low, high) of the uniform roll-off of the pulse rrc; above 0, at most 1."""
    ask: Ask
    """Levels of 4ASK and 8ASK: -3, -1, 1, 3 or 0, 1, 2, 3, as in RML2018.01A."""
    apsk_rates: ApskRates
    """Code rates of DVB-S2 and DVB-S2X that give the radii of the rings; of several, each frame
    draws one."""
    carrier_offset_std: CarrierOffset
    """Standard deviation of the carrier offset."""
    clock_offset_ppm: Annotated[float, Field(ge=0, le=1000), Unit("parts per million")]
    """Standard deviation of the offset of the symbol clock from the clock of the samples."""
    gmsk_bt: Annotated[float, Field(gt=0.1, le=2)]
    """Bandwidth-time product of the Gaussian filter of GMSK and GFSK."""
    multipath: Multipath | None
    """Rician multipath; null for none."""
    impairments: Impairments | None
    """What else spoils frames; null for nothing. What is not named is left out. Of each range
    (low, high) a frame draws one value."""

    @property
    def path(self) -> str:
        """Where the generated frames lie."""
        return f"{GENERATED}.{self.format}"

    @property
    def modulations(self) -> tuple[str, ...]:
        """Modulations that are generated: all that the data set of this layout has."""
        return MODULATIONS if self.format == "hdf5" else RML2016

    @model_validator(mode="after")
    def _rolloff_in_range(self) -> Self:
        low, high = self.rolloff
        if not 0 < low <= high <= 1:
            raise ValueError(f"rolloff = [{low}, {high}] must be a range with 0 < low <= high <= 1")
        return self


class Stratify(Section):
    """Shares of the three parts: ratios that sum to 1, or frames of each (modulation, SNR)."""

    train: Share
    """Of the frames that the model is trained on."""
    validation: Share
    """Of the frames that choose the best epoch."""
    test: Share
    """Of the frames that everything is measured on."""

    @property
    def shares(self) -> tuple[int, int, int] | tuple[float, float, float]:
        """Of train, validation and test: three ratios, or three numbers of frames."""
        return self.train, self.validation, self.test

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        kinds = {type(share) for share in self.shares}
        if len(kinds) > 1:
            raise ValueError(
                f"train = {self.train}, validation = {self.validation} and test = {self.test} "
                "are ratios and numbers of frames mixed; "
                "give three ratios that sum to 1, or three whole numbers"
            )
        return self

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = sum(self.shares)
        if isinstance(self.train, float) and abs(total - 1) > 1e-9:
            raise ValueError(
                f"train + validation + test = {total:g} and must be 1; change one of the ratios"
            )
        return self
