"""The noise-aware model and its losses: the sections `cldnn` and `noise_aware`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pisces.config.fields import (
    Dropout,
    EpochsFromZero,
    NotNegative,
    Positive,
    Probability,
    Section,
    Unit,
    odd,
)
from pisces.training.settings import MIN_STEP_DB

TRAINED_HERE = Path("models")
"""The folder of the model that the pipeline trains."""


def never_null(value: object) -> object:
    """none, or a path"""
    if value is None:
        # In dvc.yaml the key is a dependency, which is never empty.
        raise ValueError("write none, or the path of a folder")
    return value


Folder = Annotated[str, BeforeValidator(never_null), Field(min_length=1)]


class Cldnn(Section):
    """What `train.model: cldnn` is made of; see pisces/models/cldnn.py."""

    paths: Literal["raw", "denoised", "dual"]
    """What the classifier sees: the frame, what the denoiser makes of it, or both."""
    film: bool
    """Whether the estimated noise fraction scales and shifts the features."""
    expert: Literal["none", "v1", "v2"]
    """Products of neighbouring samples as further channels."""
    expert_window: Annotated[int, Field(ge=1, le=63), AfterValidator(odd), Unit("samples")]
    """Samples that v2 averages over."""
    cyclo: bool
    """Whether cyclostationary numbers stand beside the features."""
    eta_gate: bool
    """Whether the noise fraction opens and closes `expert` and `cyclo`."""
    dropout: Dropout
    """Of the classifier."""
    channels: Annotated[int, Field(ge=8, le=256), Unit("channels")]
    """Of the denoiser's first level."""
    denoiser_dropout: Dropout
    """Of the denoiser."""
    soft_blend: bool
    """Whether the denoiser leaves frames alone above some 10 dB."""
    condition: Literal["blind", "known"]
    """Noise fraction that conditions denoiser, FiLM and gate: the estimate, or that of the true SNR
    (known; for teachers)."""


class Phase(Section):
    """A part of the training of a denoiser: how much the classifier trains it, and the weights of
    the losses."""

    epochs: EpochsFromZero | None
    """Length of the phase; null, for c: the rest of `train.epochs`."""
    gradient: Annotated[float, Field(ge=0, le=1)]
    """What the classifier's gradient is multiplied by where it enters the denoiser."""
    classification: NotNegative
    """Weight of the losses of both tasks."""
    denoising: NotNegative
    """Weight of the distance of a denoised frame from its cleaner pair."""
    identity: NotNegative
    """Weight of what the denoiser changes in clean frames."""
    noise: NotNegative
    """Weight of the error of the estimated noise fraction."""
    features: NotNegative
    """Weight of the distance in the features of `reference`."""
    distillation: NotNegative
    """Weight of the distance from the predictions of `teacher`."""


class RawGain(Section):
    """The raw one of two paths is made fainter at times, so that the denoised one is used."""

    probability: Probability
    """Of a frame to be made fainter."""
    below_db: float
    """Only for frames of a lower SNR label."""
    low: Annotated[float, Field(ge=0, le=1)]
    """The gain is uniform from low..."""
    high: Annotated[float, Field(ge=0, le=1)]
    """...to high."""


class NoiseAware(Section):
    """How `train.model: cldnn` learns what is noise; see pisces/training/noise_aware.py.

    Without a denoiser there are no phases, and of c only `classification`, `noise` and
    `distillation` count.
    """

    a: Phase
    """The denoiser by itself."""
    b1: Phase
    """The classifier on what it denoises, without a gradient into it."""
    b2: Phase
    """The same with a small gradient."""
    c: Phase
    """Both together, for the rest of the epochs."""
    degrade_db: tuple[Positive, Positive]
    """By how much the true SNR of frames is lowered, uniformly from..to, for `denoising`..."""
    degrade_to_db: tuple[float, float] | None
    """...or to which true SNR, uniformly from..to; null: by `degrade_db`, but never below the
    lowest of the data."""
    reference: Folder
    """Folder of a trained cldnn whose first layers judge `features`, or none."""
    features_ramp_epochs: EpochsFromZero
    """Epochs, after phase a, over which the weight of `features` grows to its value."""
    teacher: Folder
    """Folder of a trained cldnn that is distilled, or none..."""
    teach_band_db: tuple[float, float]
    """...on frames of these SNR labels that it is right about..."""
    temperature: Positive
    """...through a softmax of this temperature."""
    raw_gain: RawGain
    """Of `cldnn.paths: dual`."""

    @property
    def phases(self) -> tuple[Phase, Phase, Phase, Phase]:
        """In the order of training."""
        return self.a, self.b1, self.b2, self.c

    @model_validator(mode="after")
    def _only_c_is_open_ended(self) -> Self:
        for name, phase in (("a", self.a), ("b1", self.b1), ("b2", self.b2)):
            if phase.epochs is None:
                raise ValueError(
                    f"{name}.epochs = null, which only c may have; "
                    f"say how many epochs phase {name} takes, 0 for none"
                )
        if self.c.epochs is not None:
            raise ValueError(
                f"c.epochs = {self.c.epochs}, but phase c has what the others leave of "
                "train.epochs; set it to null"
            )
        return self

    @model_validator(mode="after")
    def _losses_have_their_models(self) -> Self:
        sources = {"features": "reference", "distillation": "teacher"}
        for loss, source in sources.items():
            is_used = any(getattr(phase, loss) > 0 for phase in self.phases)
            if is_used and getattr(self, source) == "none":
                raise ValueError(
                    f"a weight of {loss} above 0 needs {source}, the folder of a trained cldnn; "
                    "set it, or the weights to 0"
                )
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        ranges = {
            "degrade_db": self.degrade_db,
            "degrade_to_db": self.degrade_to_db,
            "teach_band_db": self.teach_band_db,
            "raw_gain.low, high": (self.raw_gain.low, self.raw_gain.high),
        }
        for name, pair in ranges.items():
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(
                    f"{name} = {list(pair)} must be a range from low to high; exchange the two"
                )
        if self.degrade_db[1] < MIN_STEP_DB:
            raise ValueError(
                f"degrade_db = {list(self.degrade_db)} has no step of {MIN_STEP_DB:g} dB, "
                "the least that counts; raise it"
            )
        return self

    @model_validator(mode="after")
    def _sources_are_not_overwritten(self) -> Self:
        for name in ("reference", "teacher"):
            folder = getattr(self, name)
            if folder and Path(folder) == TRAINED_HERE:
                raise ValueError(
                    f"{name} = {folder} is where this training writes; name a copy of that folder"
                )
        return self
