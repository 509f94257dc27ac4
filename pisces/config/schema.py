"""The typed, strict model of params.yaml: every key, its meaning, unit and range; and the presets laid over it."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PositiveInt,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from pisces.core.files import staged
from pisces.core.modulations import NAMES
from pisces.core.settings import from_json
from pisces.inputs.settings import Method, View
from pisces.training.settings import MIN_STEP_DB

PARAMS = Path("params.yaml")
T = TypeVar("T")


def _known_modulations(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in NAMES:
            raise ValueError(
                f"{name!r} is not a modulation of RML2018.01A or RML2016.10a{_suggestion(name, NAMES)}; known are {', '.join(NAMES)}"
            )
    return names


def _no_repeats(values: tuple) -> tuple:
    repeated = sorted({v for v in values if values.count(v) > 1})
    if repeated:
        raise ValueError(f"{', '.join(map(str, repeated))} stands more than once")
    return values


def _several(values: tuple) -> tuple:
    if len(values) < 2:
        raise ValueError(
            "there is nothing to tell apart among fewer than two classes; name two or more"
        )
    return values


def _increasing(values: tuple) -> tuple:
    if list(values) != sorted(set(values)):
        raise ValueError(f"{list(values)} must be strictly increasing")
    return values


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} must be odd, so that a window has a middle")
    return value


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} must be even, so that the I and Q axes fall between pixels")
    return value


Modulations = Annotated[
    tuple[str, ...],
    AfterValidator(_several),
    AfterValidator(_known_modulations),
    AfterValidator(_no_repeats),
]
SnrsDb = Annotated[tuple[int, ...], AfterValidator(_several), AfterValidator(_increasing)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


def _share(value: object) -> int | float:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not is_count and not (isinstance(value, float) and 0 < value < 1):
        raise ValueError(
            "must be a ratio above 0 and below 1, such as 0.8, or a whole number of frames, such as 600"
        )
    return value


Share = Annotated[int | float, PlainValidator(_share)]
"""600 and 600.0 differ: only the former is a number of frames."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def to(self, kind: type[T]) -> T:
        """The library's own settings, a dataclass with the same fields, nested ones included."""
        return from_json(kind, self.model_dump_json())


class Base(Section):
    seed: Annotated[int, Field(ge=0)]
    """Root of every random choice."""


class Data(Section):
    path: Annotated[str, Field(min_length=1)]
    """HDF5 file in the RML2018.01A layout, or `.pkl` in that of RML2016.10a; the user's own file as an absolute path."""
    class_order: Literal["fixed", "classes_txt"]
    """What the columns of `Y` mean: the right order, or that of the misleading `classes.txt`. A `.pkl` names its classes and needs none."""
    modulations: Modulations
    snrs_db: SnrsDb
    frames_per_cell: PositiveInt | None
    """The first so many usable frames of each (modulation, SNR); null takes all."""


class Multipath(Section):
    k_factor_db: Annotated[float, Field(ge=-20, le=60)]
    """Power of the direct path over that of all scattered paths."""
    paths: Annotated[int, Field(ge=1, le=64)]
    """Number of scattered paths."""
    delay_spread: Positive
    """RMS delay spread, in samples, of an exponential power delay profile."""


class Synthesize(Section):
    format: Literal["hdf5", "pkl"]
    """Layout, and ending, of the file: hdf5 as RML2018.01A with its 24 modulations, pkl as RML2016.10a with its 11."""
    snrs_db: SnrsDb
    frames_per_cell: PositiveInt
    samples: Annotated[int, Field(ge=64, le=65536, multiple_of=8)]
    """Samples a frame; RML2018.01A has 1024, RML2016.10a 128."""
    sps: Annotated[int, Field(ge=2, le=64, multiple_of=2)]
    """Samples a symbol; even, for the half-symbol offset of OQPSK."""
    rolloff: tuple[float, float]
    """Range (low, high) of the uniform root-raised-cosine roll-off, within 0..1."""
    carrier_offset_std: Annotated[float, Field(ge=0, lt=0.1)]
    """Standard deviation of the carrier offset in cycles a sample."""
    gmsk_bt: Annotated[float, Field(gt=0.1, le=2)]
    """Bandwidth-time product of the Gaussian filter of GMSK and GFSK."""
    multipath: Multipath | None
    """Rician multipath, static over a frame; null for none."""

    @property
    def path(self) -> str:
        return f"data/raw/synthetic.{self.format}"

    @model_validator(mode="after")
    def _rolloff_in_range(self) -> "Synthesize":
        low, high = self.rolloff
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"rolloff = [{low}, {high}] must be a range [low, high] within 0..1, 0 left out"
            )
        return self


Reach = Annotated[float, Field(gt=0, le=100)]


class Extent(Section):
    """The image of a view spans -extent..extent on both axes, in units of the RMS of its points; `noise` in dB above its floor."""

    raw: Reach
    symbol: Reach
    noise: Reach
    differential: Reach


class Render(Section):
    views: Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(_no_repeats)]
    """What is looked at, each a channel of the image; see pisces/inputs/views.py."""
    size: Annotated[int, Field(ge=8, le=254), AfterValidator(_even)]
    """Pixels along each side; even, and at most 254 so that a pixel number fits in 16 bits."""
    extent: Extent
    sps: Annotated[int, Field(ge=2, le=64)]
    """Samples a symbol of the data, for the views `symbol` and `noise`."""
    rolloff: Annotated[float, Field(gt=0, le=1)]
    """Roll-off of the matched filter of `symbol`."""
    delay: PositiveInt
    """Samples between the two factors of `differential`."""


class Draw(Section):
    method: Method
    sigma_px: Annotated[float, Field(gt=0, le=50)]
    """Standard deviation of the `gaussian` kernel, in pixels."""
    decay_px: Annotated[tuple[float, float, float], AfterValidator(_increasing)]
    """Decay lengths of the three kernels, one a channel, of `enhanced`, in pixels."""


class Stratify(Section):
    """Three ratios that sum to 1, or three numbers of frames of each (modulation, SNR)."""

    train: Share
    validation: Share
    test: Share

    @property
    def shares(self) -> tuple[int, int, int] | tuple[float, float, float]:
        return self.train, self.validation, self.test

    @model_validator(mode="after")
    def _of_one_kind(self) -> "Stratify":
        if len({type(share) for share in self.shares}) > 1:
            raise ValueError(
                f"train = {self.train}, validation = {self.validation} and test = {self.test} are ratios and numbers of frames mixed; "
                "give three ratios that sum to 1, or three whole numbers"
            )
        return self

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Stratify":
        total = sum(self.shares)
        if isinstance(self.train, float) and abs(total - 1) > 1e-9:
            raise ValueError(
                f"train + validation + test = {total:g} and must be 1; change one of the three ratios"
            )
        return self


class Augment(Section):
    """How training frames are varied before they are rendered, anew in each epoch; see pisces/training/augmentation.py."""

    phase: bool
    carrier_offset_std: Annotated[float, Field(ge=0, lt=0.1)]
    """In cycles a sample, on top of what the frame has."""
    time_shift: bool
    """Circular; its seam drowns low noise floors."""
    noise_db: Annotated[float, Field(ge=0, le=50)]
    """Added noise lowers the SNR, and its class, by up to so many dB."""
    gain_db: Annotated[float, Field(ge=0, le=60)]
    """Largest change of level, either way, of the frame over its RMS that a model of `train.input: iq` sees."""
    mixup_alpha: Annotated[float, Field(ge=0, le=10)]
    """0: no mixup."""
    mixup_probability: Annotated[float, Field(ge=0, le=1)]
    """Of a batch to be mixed."""
    mixup_snr_min_db: float | None
    """Only pairs of frames of at least this SNR are mixed; null: all."""
    mixup_losses: Literal["classifier_only", "all_losses"]
    """Whether the auxiliary losses of `noise_aware` see frames as they are, or the mixed ones, which spoils what they ask for."""


MODELS = {
    "constellation": (
        "resnet18",
        "resnet34",
        "resnet50",
        "vit_b_16",
        "vit_b_32",
        "vit_h_14",
        "swin_tiny",
        "swin_small",
        "swin_base",
    ),
    "iq": (
        "cldnn",
        "mcldnn",
        "pet_cgdnn",
        "cgdnet",
        "ic_amcnet",
        "mcnet",
        "lstm2",
        "resnet_amr",
        "resnet_oshea",
        "moe",
    ),
}


def _known_model(name: str) -> str:
    known = sum(MODELS.values(), ())
    if name not in known:
        raise ValueError(
            f"there is no model {name!r}{_suggestion(name, known)}; there are {', '.join(known)}"
        )
    return name


class Train(Section):
    launcher: Annotated[str, Field(min_length=1)]
    """What runs the stage: python, or e.g. `torchrun --nproc-per-node 4`; read by dvc.yaml."""
    input: Literal["constellation", "iq"]
    """What the model looks at: rendered constellations, or the frame itself."""
    model: Annotated[str, AfterValidator(_known_model)]
    """One of `MODELS`."""
    pretrained: Annotated[str, Field(min_length=1)]
    """Weights that the backbone starts from: none, imagenet, or the path of a file."""
    branches: Literal["plain", "attention"]
    """What each task makes of the backbone's features."""
    snr_head: Literal["standard", "bottleneck_64", "bottleneck_128", "dual_layer", "regression"]
    snr_loss: Literal["cross_entropy", "distance", "ordinal", "regression"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Of the modulation loss."""
    weighting: Literal["kendall", "softmax", "fixed", "dwa"]
    min_task_weight: Annotated[float, Field(gt=0, lt=0.5)]
    """Least share that either task may have."""
    task_weights: tuple[Positive, Positive]
    """Of modulation and SNR, for the weighting `fixed`; scaled to sum to 2."""
    temperature: Positive
    """Of the weightings `softmax` and `dwa`."""
    epochs: PositiveInt
    """Upper bound; early stopping may end sooner."""
    batch_size: Annotated[int, Field(ge=2)]
    """Frames a step, of all processes together."""
    optimizer: Literal["adam", "adamw"]
    lr: Positive
    """The highest learning rate of the schedule."""
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Positive
    """Largest L2 norm of the gradient of one step."""
    schedule: Literal["plateau", "cyclic", "cosine", "one_cycle"]
    plateau_factor: Fraction
    """The learning rate is multiplied by this..."""
    plateau_patience: Annotated[int, Field(ge=0)]
    """...after more than so many epochs without a better `stop_metric`."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Of `cosine`."""
    cycle_epochs: PositiveInt
    """Of `cyclic`."""
    stop_metric: Literal[
        "validation_loss",
        "validation_modulation_accuracy",
        "validation_snr_accuracy",
        "validation_joint_accuracy",
    ]
    """Which epoch is the best, whose model is kept."""
    stop_patience: PositiveInt
    """Epochs without a better one before training stops; with `cyclic`, up to the end of a cycle."""
    curriculum_epochs: Annotated[int, Field(ge=0)]
    """Epochs in which training starts with the highest SNRs and takes in the others; 0: all at once."""
    snr_balance: Annotated[float, Field(ge=0, le=1)]
    """An SNR of n frames has a share of n^(1 - this) in an epoch; 0: as they come, 1: all SNRs alike."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Of the moving average of the weights, a step, which is then what is kept; 0: the weights themselves."""
    max_skipped_steps: Annotated[int, Field(ge=0)]
    """Steps in a row that may be left out because their loss or gradient is not finite, before training goes back a whole epoch."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """auto: bf16-mixed on CUDA, 32-true elsewhere."""
    compile: bool
    """Whether torch.compile makes the model faster, after some minutes."""

    @model_validator(mode="after")
    def _losses_fit_heads(self) -> "Train":
        if self.snr_loss == "regression" and self.snr_head != "regression":
            raise ValueError(
                f"snr_loss = regression needs snr_head = regression, not {self.snr_head}; change one of the two"
            )
        return self

    @model_validator(mode="after")
    def _model_fits_input(self) -> "Train":
        if self.model not in MODELS[self.input]:
            raise ValueError(
                f"model = {self.model} does not look at input = {self.input}; models of {self.input} are {', '.join(MODELS[self.input])}"
            )
        if self.input == "iq" and self.pretrained != "none":
            raise ValueError(
                f"pretrained = {self.pretrained} is for input = constellation; set it to none"
            )
        if self.model == "cldnn" and self.compile:
            raise ValueError(
                "compile = true does not reach what a cldnn does in training; set it to false"
            )
        if self.model == "cldnn" and self.branches != "plain":
            raise ValueError(
                f"branches = {self.branches} does not go with model = cldnn, whose branches are its own; set it to plain"
            )
        return self


class Cldnn(Section):
    """What `train.model: cldnn` is made of; see pisces/models/cldnn.py."""

    paths: Literal["raw", "denoised", "dual"]
    """What the classifier sees: the frame, what the denoiser makes of it, or both."""
    film: bool
    """Whether the estimated noise fraction scales and shifts the features."""
    expert: Literal["none", "v1", "v2"]
    """Products of neighbouring samples as further channels."""
    expert_window: Annotated[int, Field(ge=1, le=63), AfterValidator(_odd)]
    """Samples that v2 averages over."""
    cyclo: bool
    """Cyclostationary numbers beside the features."""
    eta_gate: bool
    """Whether the noise fraction opens and closes `expert` and `cyclo`."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    channels: Annotated[int, Field(ge=8, le=256)]
    """Of the denoiser's first level."""
    denoiser_dropout: Annotated[float, Field(ge=0, lt=1)]
    soft_blend: bool
    """Whether the denoiser leaves frames alone above some 10 dB."""
    condition: Literal["blind", "known"]
    """What denoiser, FiLM and gate are told of the noise: the estimate, or the label (an oracle, for teachers)."""


Weight = Annotated[float, Field(ge=0)]


class Phase(Section):
    """A part of the training of a denoiser: the classifier's gradient into it, and the weights of the losses."""

    epochs: Annotated[int, Field(ge=0)] | None
    """null: the rest."""
    gradient: Annotated[float, Field(ge=0, le=1)]
    """What the classifier's gradient is multiplied by where it enters the denoiser."""
    classification: Weight
    denoising: Weight
    identity: Weight
    noise: Weight
    features: Weight
    distillation: Weight


class RawGain(Section):
    """The raw one of two paths is made fainter at times, so that the classifier learns to use the denoised one."""

    probability: Annotated[float, Field(ge=0, le=1)]
    below_db: float
    """Only for frames of a lower SNR."""
    low: Annotated[float, Field(ge=0, le=1)]
    high: Annotated[float, Field(ge=0, le=1)]
    """The gain is uniform from low to high."""


class NoiseAware(Section):
    """How `train.model: cldnn` learns what is noise; see pisces/training/noise_aware.py.

    Without a denoiser there are no phases, and of c only `classification`, `noise` and `distillation` count.
    """

    a: Phase
    b1: Phase
    b2: Phase
    c: Phase
    degrade_db: tuple[Positive, Positive]
    """By how much frames are degraded, uniformly from..to, for `denoising`..."""
    degrade_to_db: tuple[float, float] | None
    """...or to which SNR, uniformly from..to; null: by `degrade_db`, but never below the lowest SNR of the data."""
    reference: str | None
    """Folder of a trained cldnn whose first layers judge `features`."""
    features_ramp_epochs: Annotated[int, Field(ge=0)]
    """Epochs, after phase a, over which the weight of `features` grows to its value."""
    teacher: str | None
    """Folder of a trained cldnn that is distilled..."""
    teach_band_db: tuple[float, float]
    """...on frames of these SNRs that it is right about..."""
    temperature: Positive
    """...through a softmax of this temperature."""
    raw_gain: RawGain

    @model_validator(mode="after")
    def _phases_are_complete(self) -> "NoiseAware":
        for name in ("a", "b1", "b2"):
            if getattr(self, name).epochs is None:
                raise ValueError(
                    f"{name}.epochs = null, which only c may have; say how many epochs phase {name} takes, 0 for none"
                )
        if self.c.epochs is not None:
            raise ValueError(
                f"c.epochs = {self.c.epochs}, but phase c has what the others leave of train.epochs; set it to null"
            )
        for name, source in (("features", "reference"), ("distillation", "teacher")):
            if any(getattr(phase, name) for phase in self.phases) and getattr(self, source) is None:
                raise ValueError(
                    f"a weight of {name} above 0 needs {source}, the folder of a trained cldnn; set it, or the weights to 0"
                )
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> "NoiseAware":
        ranges = {
            "degrade_db": self.degrade_db,
            "degrade_to_db": self.degrade_to_db,
            "teach_band_db": self.teach_band_db,
        }
        ranges["raw_gain.low, high"] = (self.raw_gain.low, self.raw_gain.high)
        for name, pair in ranges.items():
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(
                    f"{name} = {list(pair)} must be a range from low to high; exchange the two"
                )
        if self.degrade_db[1] < MIN_STEP_DB:
            raise ValueError(
                f"degrade_db = {list(self.degrade_db)} has no step of {MIN_STEP_DB:g} dB, the least that counts; raise it"
            )
        for name in ("reference", "teacher"):
            if (folder := getattr(self, name)) and Path(folder) == Path("models"):
                raise ValueError(
                    f"{name} = {folder} is where this training writes; name a copy of that folder"
                )
        return self

    @property
    def phases(self) -> tuple[Phase, Phase, Phase, Phase]:
        return self.a, self.b1, self.b2, self.c


class Evaluate(Section):
    resamples: PositiveInt
    """Bootstrap resamples behind each interval."""
    bypass_denoiser: bool
    """Whether a denoiser is left out, to see what it is worth to the model that was trained with it."""


Percent = Annotated[float, Field(gt=0, le=100)]


def _check_stride(section: "Perturb | Attribute") -> None:
    if section.stride > section.window:
        raise ValueError(
            f"stride = {section.stride} leaves gaps between windows of {section.window}; lower it to at most window"
        )


class Perturb(Section):
    views: Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(_no_repeats)] | None
    """Views to take pixels from, one at a time; null takes all of render.views."""
    rules: Annotated[
        tuple[Literal["exact", "percentile"], ...], Field(min_length=1), AfterValidator(_no_repeats)
    ]
    """How `masks` take `levels_percent`; see pisces/pis/masks.py."""
    masks: Annotated[
        tuple[Literal["top", "bottom", "random"], ...],
        Field(min_length=1),
        AfterValidator(_no_repeats),
    ]
    levels_percent: Annotated[tuple[Percent, ...], Field(min_length=1), AfterValidator(_increasing)]
    curve_percent: Annotated[tuple[Percent, ...], AfterValidator(_increasing)]
    """Further levels of the rule `exact`, for the degradation curves."""
    regions: Annotated[
        tuple[Literal["ring", "sector", "cluster", "window"], ...], AfterValidator(_no_repeats)
    ]
    """Parts of the picture to take whole."""
    rings: Annotated[int, Field(ge=2, le=32)]
    """Of equal width, from the centre to the border."""
    sectors: Annotated[int, Field(ge=2, le=32)]
    """Of equal angle, the first centred on the I axis."""
    core_percent: Annotated[float, Field(gt=0, lt=100)]
    """Share of the points that the cluster cores hold; the rest is transitions between them."""
    window: Annotated[float, Field(gt=0, le=1)]
    """Side of a sliding window, over that of the image."""
    stride: Annotated[float, Field(gt=0, le=1)]
    """From one window to the next, over the side of the image."""
    frames_per_cell: PositiveInt | None
    """Test frames of each (modulation, SNR) to perturb; null takes all."""

    @model_validator(mode="after")
    def _masks_are_possible(self) -> "Perturb":
        _check_stride(self)
        if self.curve_percent and "exact" not in self.rules:
            raise ValueError(
                f"curve_percent = {list(self.curve_percent)} are levels of the rule exact, but rules has only {', '.join(self.rules)}; "
                "add exact to rules or set curve_percent to []"
            )
        return self


class Pis(Section):
    resamples: PositiveInt
    """Paired bootstrap resamples behind each interval."""
    fill: Literal["zero", "resample"]
    """What takes the place of the samples behind the pixels taken, for `train.input: iq`: silence, or other samples of the frame."""


class Attribute(Section):
    methods: Annotated[
        tuple[Literal["grad_cam", "integrated_gradients", "occlusion", "rise"], ...],
        Field(min_length=1),
        AfterValidator(_no_repeats),
    ]
    """Held against the brightness of pixels, by which PIS ranks them, and against chance; see pisces/attribution/methods.py."""
    frames_per_cell: PositiveInt
    """Test frames of each (modulation, SNR) to explain."""
    layer: Annotated[str, Field(min_length=1)]
    """Of the backbone, which `grad_cam` reads; auto: the last one whose map has 4 x 4 cells or more."""
    ig_steps: PositiveInt
    """Points on the way from a dark image, for `integrated_gradients`."""
    window: Annotated[float, Field(gt=0, le=1)]
    """Side of the window of `occlusion`, over that of the image."""
    stride: Annotated[float, Field(gt=0, le=1)]
    """From one window to the next, over the side of the image."""
    rise_masks: PositiveInt
    rise_cells: Annotated[int, Field(ge=2, le=32)]
    """Cells along each side of a random mask of `rise`."""
    rise_keep: Fraction
    """Chance of a cell to stay."""
    levels_percent: Annotated[tuple[Percent, ...], Field(min_length=2), AfterValidator(_increasing)]
    """Points of the deletion and insertion curves, in percent of the lit pixels of all views."""
    infidelity_samples: PositiveInt
    """Random perturbations of each image, for infidelity."""
    checked_frames: Annotated[int, Field(ge=2)]
    """Frames, spread over the cells, for the sanity checks and the sensitivity, in which every map is made anew."""
    sensitivity_radius: Positive
    """Largest change of any pixel value, for the sensitivity."""
    sensitivity_samples: PositiveInt
    randomised_steps: PositiveInt
    """Steps in which the weights are made random, from the heads down to the stem."""
    shuffled_frames: Annotated[int, Field(ge=2)]
    """Training frames, with shuffled labels, of the model that has nothing to explain..."""
    shuffled_epochs: PositiveInt
    """...and its passes over them."""
    resamples: PositiveInt
    """Bootstrap resamples behind each interval."""

    @model_validator(mode="after")
    def _windows_cover(self) -> "Attribute":
        _check_stride(self)
        return self


class Limits(Section):
    trials: PositiveInt
    """Frames of each modulation and SNR behind the ceiling of modulation; 100 take some 3 s an SNR for 16 constellations of 128 symbols."""


class Params(Section):
    base: Base
    data: Data
    synthesize: Synthesize
    render: Render
    draw: Draw
    stratify: Stratify
    augment: Augment
    train: Train
    cldnn: Cldnn
    noise_aware: NoiseAware
    evaluate: Evaluate
    perturb: Perturb
    pis: Pis
    attribute: Attribute
    limits: Limits

    @model_validator(mode="after")
    def _sections_agree(self) -> "Params":
        render, train = self.render, self.train
        if strangers := sorted(set(self.perturb.views or ()) - set(render.views)):
            raise ValueError(
                f"perturb.views names {', '.join(strangers)}, but render.views are {', '.join(render.views)}; "
                "leave it out of perturb.views (null takes all) or add it to render.views"
            )
        if "noise" in render.views and render.sps < 3:
            raise ValueError(
                f"render.sps = {render.sps} leaves no band without signal, which noise in render.views shows; "
                "correct render.sps to 3 or more, or leave noise out of render.views"
            )
        if self.data.path == self.synthesize.path and self.synthesize.sps != render.sps:
            raise ValueError(
                f"render.sps = {render.sps} is not synthesize.sps = {self.synthesize.sps} of the generated frames; set both alike"
            )
        if self.evaluate.bypass_denoiser and (train.model != "cldnn" or self.cldnn.paths == "raw"):
            raise ValueError(
                "evaluate.bypass_denoiser = true needs a denoiser, which only train.model = cldnn with cldnn.paths = denoised or dual has; "
                "set it to false"
            )
        if train.model == "cldnn" and self.cldnn.paths == "raw" and self.noise_aware.c.features:
            raise ValueError(
                "noise_aware.c.features needs a denoiser, which cldnn.paths = raw lacks; set it to 0 or change cldnn.paths"
            )
        cldnn = self.cldnn
        if (
            train.model == "cldnn"
            and cldnn.condition == "known"
            and cldnn.paths == "raw"
            and not (cldnn.film or cldnn.eta_gate)
        ):
            raise ValueError(
                "cldnn.condition = known has nobody to tell with cldnn.paths = raw and neither cldnn.film nor eta_gate; set it to blind"
            )
        phases = self.noise_aware.phases if cldnn.paths != "raw" else (self.noise_aware.c,)
        taught = self.noise_aware.teacher is not None and any(
            phase.distillation for phase in phases
        )
        if (
            train.model == "cldnn"
            and taught
            and self.augment.mixup_alpha
            and self.augment.mixup_probability == 1
        ):
            raise ValueError(
                "noise_aware.teacher says nothing about mixed batches, which all are with augment.mixup_probability = 1; "
                "lower that, or set augment.mixup_alpha to 0"
            )
        apart = sum(phase.epochs for phase in self.noise_aware.phases[:-1])
        if train.model == "cldnn" and self.cldnn.paths != "raw" and apart >= train.epochs:
            raise ValueError(
                f"noise_aware.a, b1 and b2 take {apart} epochs, which leaves none of train.epochs = {train.epochs} for c; "
                "lower theirs or raise train.epochs"
            )
        if train.input == "constellation" and self.augment.gain_db:
            raise ValueError(
                f"augment.gain_db = {self.augment.gain_db} is for train.input = iq; constellations have no level: set it to 0"
            )
        if train.input == "constellation" and self.pis.fill != "zero":
            raise ValueError(
                f"pis.fill = {self.pis.fill} is for train.input = iq; pixels of a constellation go dark: set it to zero"
            )
        if train.curriculum_epochs > train.epochs:
            raise ValueError(
                f"train.curriculum_epochs = {train.curriculum_epochs} is more than train.epochs = {train.epochs}, "
                "which would end before every SNR is taken in; lower the one or raise the other"
            )
        return self


def load_params(path: Path = PARAMS) -> Params:
    """Reads and checks a whole params.yaml.

    Raises:
        ValueError: naming the file, each wrong key and value, and what is allowed.
        FileNotFoundError: when there is no such file.
    """
    return parse_params(read_yaml(path), str(path))


def parse_params(content: dict[str, Any], source: str) -> Params:
    """Checks the content of a params file that was read from `source`; see `load_params`."""
    try:
        # Through JSON: strict, yet a YAML list is a tuple, and what JSON lacks, such as a date, is a text.
        return Params.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = [_explain(dict(e)) for e in error.errors()]
        raise ValueError(f"{source}: " + f"\n{source}: ".join(lines)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """YAML 1.2, so that `1e-05` is a number; errors as in `load_params`."""
    return _read(path, YAML(typ="safe"))


def _read(path: Path, yaml: YAML) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run from the root of the repository")
    try:
        content = yaml.load(path)
    except YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold sections with keys, not {type(content).__name__}")
    return content


def lay_over(params: Path, overlay: dict[str, Any]) -> None:
    """Lays `overlay` (section -> key -> value) on a params file in place, keeping its comments and order.

    Raises:
        ValueError: when the result would not be valid; the file is then unchanged.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.representer.add_representer(
        type(None),
        lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"),
    )
    content = _read(params, yaml)
    for section, values in overlay.items():
        if section not in content or not isinstance(values, dict):
            raise ValueError(
                f"{section!r} is not a section of {params}; allowed are {', '.join(content)}"
            )
        for key, value in values.items():
            content[section][key] = _in_one_line(value) if isinstance(value, list | dict) else value
    parse_params(content, f"{params} with the overlay")
    with staged(params) as temporary:
        yaml.dump(content, temporary)


def _in_one_line(values: list | dict) -> CommentedSeq | CommentedMap:
    written = CommentedSeq(values) if isinstance(values, list) else CommentedMap(values)
    written.fa.set_flow_style()
    return written


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _section(keys: Sequence[int | str]) -> type[Section]:
    """The model of the section that the keys lead to; of a union, such as one with None, the member that is a section."""
    section: type[Section] = Params
    for key in keys:
        annotation = section.model_fields[str(key)].annotation
        section = next(
            one
            for one in (annotation, *get_args(annotation))
            if isinstance(one, type) and issubclass(one, Section)
        )
    return section


def _explain(error: dict[str, Any]) -> str:
    """One line for one pydantic error: which key, what stands there, what is allowed."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = tuple(_section(error["loc"][:-1]).model_fields)
        return f"unknown key {where}{_suggestion(str(error['loc'][-1]), known)}; allowed here are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{where} is missing; copy it from the params.yaml of the repository"
    message = error["msg"].removeprefix("Value error, ")
    sentence = message if error["type"] == "value_error" else message[0].lower() + message[1:]
    if isinstance(
        error["input"], dict
    ):  # the message of a whole section names its keys and values itself
        return f"{where}: {sentence}" if where else sentence
    return f"{where} = {json.dumps(error['input'])[:80]}: {sentence}"
