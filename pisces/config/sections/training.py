"""How a model is trained: the sections `augment`, `train`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pisces.config.fields import (
    CarrierOffset,
    Epochs,
    EpochsFromZero,
    Fraction,
    FromZero,
    NotNegative,
    Positive,
    Probability,
    Section,
    Seed,
    Text,
    Unit,
    at_most,
    no_longer,
    suggestion,
)
from pisces.config.sections.impairments import Impairments
from pisces.inputs import INPUTS
from pisces.training.settings import MOST_NOISE_DB

OWN_BACKBONES = ("small_cnn", "pixel_set")
"""Models of constellations for which there are no weights of others."""

MODELS = {
    "constellation": (
        *("resnet18", "resnet34", "resnet50"),
        *("vit_b_16", "vit_b_32", "vit_h_14"),
        *("swin_tiny", "swin_small", "swin_base"),
        *OWN_BACKBONES,
    ),
    "iq": (
        *("cldnn", "mcldnn", "pet_cgdnn", "cgdnet", "ic_amcnet"),
        *("mcnet", "lstm2", "resnet_amr", "resnet_oshea", "moe", "moeformer"),
    ),
}
"""Kind of input -> the models that take it. An input that is not named here takes them all."""


def every_model() -> tuple[str, ...]:
    """The names of all models, of whatever input."""
    return sum(MODELS.values(), ())


def models_of(input_name: str) -> tuple[str, ...]:
    """The models that take this kind of input."""
    return MODELS.get(input_name, every_model())


def known_input(name: str) -> str:
    """one of those in pisces/inputs/__init__.py"""
    if name not in INPUTS:
        raise ValueError(
            f"there is no input {name!r}{suggestion(name, INPUTS)}; there are {', '.join(INPUTS)}"
        )
    return name


def known_model(name: str) -> str:
    """a model of `train.input`"""
    known = every_model()
    if name not in known:
        raise ValueError(
            f"there is no model {name!r}{suggestion(name, known)}; there are {', '.join(known)}"
        )
    return name


class Augment(Section):
    """How training frames are varied before they are rendered, anew in each epoch."""

    phase: bool
    """Whether a frame is turned by a random angle."""
    carrier_offset_std: CarrierOffset
    """Standard deviation of a carrier offset on top of what the frame has."""
    time_shift: bool
    """Whether a frame is shifted in time; circular, and its seam drowns low noise floors."""
    noise_db: Annotated[float, Field(ge=0, le=MOST_NOISE_DB)]
    """Added noise lowers the true SNR by up to so many dB, and with it the class: labels that are
    half of it (`data.snr_label: amplitude`) by half as much. Less than the smallest step from one
    true SNR to the next is refused: it would change nothing, as there is no class between."""
    gain_db: Annotated[float, Field(ge=0, le=60)]
    """Largest change of level, either way, of the frame over its RMS that a model of `train.input:
    iq` sees."""
    impairments: Impairments | None
    """What else spoils frames, of the kinds of `synthesize.impairments`; null for nothing. Of each
    range (low, high) a frame draws one value."""
    impairment_probability: Probability
    """Of each impairment to be there, whatever the others."""
    symmetry: bool
    """Whether a frame is turned by a random quarter turn and may be mirrored (Q -> -Q), which is
    exact on pixels; single sidebands are not mirrored."""
    mixup_alpha: Annotated[float, Field(ge=0, le=10)]
    """Both parameters of the beta distribution of mixup; 0: no mixup."""
    mixup_probability: Probability
    """Of a batch to be mixed."""
    mixup_snr_min_db: float | None
    """Only pairs of frames of at least this SNR label are mixed; null: all."""
    mixup_losses: Literal["classifier_only", "all_losses"]
    """Whether the auxiliary losses of `noise_aware` see frames as they are, or the mixed ones,
    which spoils their targets."""


class Train(Section):
    """The model and its training."""

    seed: Seed
    """Root of every random choice of the training: first weights, order, augmentation. Runs that
    differ in it alone share frames and split, and so can be compared frame by frame."""
    launcher: Text
    """What runs the stage: python, or e.g. `torchrun --nproc-per-node 4`; read by dvc.yaml."""
    input: Annotated[str, AfterValidator(known_input)]
    """What the model takes: rendered constellations, or the frame itself."""
    model: Annotated[str, AfterValidator(known_model)]
    """Architecture; see `MODELS` in pisces/config/sections/training.py."""
    pretrained: Text
    """Weights to start from: none, imagenet or a file of them for a backbone of torchvision, or the
    folder of a model that was trained here, whose classes may be others."""
    freeze: Annotated[tuple[Text, ...], no_longer(100, "more than any model has parts")]
    """Parts of a pretrained model that are not trained on, such as backbone or backbone.tables."""
    branches: Literal["plain", "attention"]
    """What each task makes of the backbone's features."""
    snr_head: Literal["standard", "bottleneck_64", "bottleneck_128", "dual_layer", "regression"]
    """Layers from the features to the SNR."""
    snr_loss: Literal["cross_entropy", "distance", "ordinal", "regression"]
    """Loss of the SNR."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Of the modulation loss."""
    weighting: Literal["kendall", "softmax", "fixed", "dwa"]
    """How the losses of the two tasks are weighted."""
    min_task_weight: Annotated[float, Field(gt=0, lt=0.5)]
    """Least share that either task may have."""
    task_weights: tuple[Positive, Positive]
    """Of modulation and SNR, for the weighting `fixed`; scaled to sum to 2."""
    temperature: Positive
    """Of the weightings `softmax` and `dwa`."""
    epochs: Epochs
    """Upper bound; early stopping may end sooner."""
    batch_size: Annotated[int, Field(ge=2), at_most(10**6, "which no memory holds"), Unit("frames")]
    """Frames a step, of all processes together."""
    optimizer: Literal["adam", "adamw"]
    """Update rule of the weights."""
    lr: Positive
    """The highest learning rate of the schedule."""
    weight_decay: NotNegative
    """Of the optimizer."""
    clip_norm: Positive
    """Largest L2 norm of the gradient of one step."""
    schedule: Literal["plateau", "cyclic", "cosine", "one_cycle"]
    """How the learning rate changes."""
    plateau_factor: Fraction
    """With `plateau`, the learning rate is multiplied by this..."""
    plateau_patience: EpochsFromZero
    """...after more than so many epochs without a better `stop_metric`."""
    warmup_steps: Annotated[FromZero, Unit("steps")]
    """Of `cosine`."""
    cycle_epochs: Epochs
    """Of `cyclic`."""
    stop_metric: Literal[
        "validation_loss",
        "validation_modulation_accuracy",
        "validation_snr_accuracy",
        "validation_joint_accuracy",
    ]
    """Which epoch is the best, whose model is kept."""
    stop_patience: Epochs
    """Epochs without a better one before training stops; with `cyclic`, up to the end of a
    cycle."""
    curriculum_epochs: EpochsFromZero
    """Epochs in which training starts with the highest SNRs and takes in the others; 0: all at
    once."""
    snr_balance: Annotated[float, Field(ge=0, le=1)]
    """An SNR of n frames has a share of n^(1 - this) in an epoch; 0: as they come, 1: all SNRs
    alike."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Of the moving average of the weights, a step, which is then what is kept; 0: the weights
    themselves."""
    max_skipped_steps: Annotated[FromZero, Unit("steps")]
    """Steps in a row that may be skipped because their loss or gradient is not finite, before
    training rolls back a whole epoch."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    """Device; auto: the best there is."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """auto: bf16-mixed on CUDA, and on a CPU with AVX512-BF16 or AMX for image models other than
    pixel_set, which gains nothing; else 32-true. 16-mixed needs a GPU. In `pis` and `attribute` it
    holds for passes without gradient, on a CPU, where 16-mixed counts as 32-true."""
    compile: bool
    """Whether torch.compile makes the model faster, after some minutes."""

    @model_validator(mode="after")
    def _losses_fit_heads(self) -> Self:
        if self.snr_loss == "regression" and self.snr_head != "regression":
            raise ValueError(
                f"snr_loss = regression needs snr_head = regression, not {self.snr_head}; "
                "change one of the two"
            )
        return self

    @model_validator(mode="after")
    def _model_fits_input(self) -> Self:
        fitting = models_of(self.input)
        if self.model not in fitting:
            raise ValueError(
                f"model = {self.model} does not take input = {self.input}; "
                f"models of {self.input} are {', '.join(fitting)}"
            )
        return self

    @model_validator(mode="after")
    def _weights_fit_model(self) -> Self:
        of_torchvision = set(MODELS["constellation"]) - set(OWN_BACKBONES)
        if self.pretrained == "imagenet" and self.model not in of_torchvision:
            raise ValueError(
                f"pretrained = {self.pretrained} is for models of torchvision, "
                f"not for model = {self.model}; set it to none, or to a folder of such a model"
            )
        if self.freeze and self.pretrained == "none":
            raise ValueError(
                f"freeze = {', '.join(self.freeze)} keeps random weights with pretrained = none; "
                "set freeze to [], or pretrained to what was trained"
            )
        return self

    @model_validator(mode="after")
    def _cldnn_is_as_it_is(self) -> Self:
        if self.model == "cldnn" and self.compile:
            raise ValueError(
                "compile = true does not reach what a cldnn does in training; set it to false"
            )
        if self.model == "cldnn" and self.branches != "plain":
            raise ValueError(
                f"branches = {self.branches} does not go with model = cldnn, "
                "whose branches are its own; set it to plain"
            )
        return self
