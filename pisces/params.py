"""The typed, strict model of params.yaml: every key, its meaning, unit and range; and the presets laid over it."""

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError

from pisces.files import staged
from pisces.modulations import CLASSES_TXT, MODULATIONS

PARAMS = Path("params.yaml")
CLASS_ORDERS = {"fixed": MODULATIONS, "classes_txt": CLASSES_TXT}


def _known_modulations(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in MODULATIONS:
            raise ValueError(
                f"{name!r} is not a modulation of RML2018.01A{_suggestion(name, MODULATIONS)}; known are {', '.join(MODULATIONS)}"
            )
    return names


def _no_repeats(values: tuple) -> tuple:
    repeated = sorted({v for v in values if values.count(v) > 1})
    if repeated:
        raise ValueError(f"{', '.join(map(str, repeated))} stands more than once")
    return values


def _increasing(values: tuple) -> tuple:
    if list(values) != sorted(set(values)):
        raise ValueError(f"{list(values)} must be strictly increasing")
    return values


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} must be even, so that the I and Q axes fall between pixels")
    return value


Modulations = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_known_modulations), AfterValidator(_no_repeats)]
SnrsDb = Annotated[tuple[int, ...], Field(min_length=2), AfterValidator(_increasing)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Base(Section):
    seed: Annotated[int, Field(ge=0)]
    """Root of every random choice."""


class Data(Section):
    path: Annotated[str, Field(min_length=1)]
    """HDF5 file in the RML2018.01A layout; the user's own file as an absolute path."""
    class_order: Literal["fixed", "classes_txt"]
    """What the columns of `Y` mean: the right order, or that of the misleading `classes.txt`."""
    modulations: Modulations
    snrs_db: SnrsDb
    frames_per_cell: PositiveInt | None
    """The first so many usable frames of each (modulation, SNR); null takes all."""

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASS_ORDERS[self.class_order]


class Multipath(Section):
    k_factor_db: Annotated[float, Field(ge=-20, le=60)]
    """Power of the direct path over that of all scattered paths."""
    paths: Annotated[int, Field(ge=1, le=64)]
    """Number of scattered paths."""
    delay_spread: Positive
    """RMS delay spread, in samples, of an exponential power delay profile."""


class Synthesize(Section):
    snrs_db: SnrsDb
    frames_per_cell: PositiveInt
    samples: Annotated[int, Field(ge=64, le=65536, multiple_of=8)]
    """Samples a frame; RML2018.01A has 1024."""
    sps: Annotated[int, Field(ge=2, le=64, multiple_of=2)]
    """Samples a symbol; even, for the half-symbol offset of OQPSK."""
    rolloff: tuple[float, float]
    """Range (low, high) of the uniform root-raised-cosine roll-off, within 0..1."""
    carrier_offset_std: Annotated[float, Field(ge=0, lt=0.1)]
    """Standard deviation of the carrier offset in cycles a sample."""
    gmsk_bt: Annotated[float, Field(gt=0.1, le=2)]
    """Bandwidth-time product of GMSK's Gaussian filter."""
    multipath: Multipath | None
    """Rician multipath, static over a frame; null for none."""

    @model_validator(mode="after")
    def _rolloff_in_range(self) -> "Synthesize":
        low, high = self.rolloff
        if not 0 < low <= high <= 1:
            raise ValueError(f"rolloff = [{low}, {high}] must be a range [low, high] within 0..1, 0 left out")
        return self


View = Literal["raw", "symbol", "noise", "differential"]
Reach = Annotated[float, Field(gt=0, le=100)]


class Extent(Section):
    """The image of a view spans -extent..extent on both axes, in units of the RMS of its points; `noise` in dB above its floor."""

    raw: Reach
    symbol: Reach
    noise: Reach
    differential: Reach


class Render(Section):
    views: Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(_no_repeats)]
    """What is looked at, each a channel of the image; see pisces/views.py."""
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
    method: Literal["log_histogram", "histogram", "max_normalized", "gaussian", "enhanced"]
    sigma_px: Annotated[float, Field(gt=0, le=50)]
    """Standard deviation of the `gaussian` kernel, in pixels."""
    decay_px: Annotated[tuple[float, float, float], AfterValidator(_increasing)]
    """Decay lengths of the three kernels, one a channel, of `enhanced`, in pixels."""


class Stratify(Section):
    train: Fraction
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Stratify":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test = {total:g} and must be 1; change one of the three ratios")
        return self


class Augment(Section):
    """How training frames are varied before they are rendered, anew in each epoch; see pisces/augmentation.py."""

    phase: bool
    carrier_offset_std: Annotated[float, Field(ge=0, lt=0.1)]
    """In cycles a sample, on top of what the frame has."""
    time_shift: bool
    """Circular; its seam drowns low noise floors."""
    noise_db: Annotated[float, Field(ge=0, le=50)]
    """Added noise lowers the SNR, and its class, by up to so many dB."""
    mixup_alpha: Annotated[float, Field(ge=0, le=10)]
    """0: no mixup."""


class Train(Section):
    launcher: Annotated[str, Field(min_length=1)]
    """What runs the stage: python, or e.g. `torchrun --nproc-per-node 4`; read by dvc.yaml."""
    model: Literal["resnet18", "resnet34", "resnet50", "vit_b_16", "vit_b_32", "vit_h_14", "swin_tiny", "swin_small", "swin_base"]
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
    """Of modulation and SNR, for the weighting `fixed`."""
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
    warmup_epochs: Annotated[int, Field(ge=0)]
    """Of `cosine`."""
    cycle_epochs: PositiveInt
    """Of `cyclic`."""
    stop_metric: Literal["validation_loss", "validation_modulation_accuracy", "validation_snr_accuracy", "validation_joint_accuracy"]
    """Which epoch is the best, whose model is kept."""
    stop_patience: PositiveInt
    """Epochs without a better one before training stops; with `cyclic`, up to the end of a cycle."""
    curriculum_epochs: Annotated[int, Field(ge=0)]
    """Epochs in which training starts with the highest SNRs and takes in the others; 0: all at once."""
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
            raise ValueError(f"snr_loss = regression needs snr_head = regression, not {self.snr_head}; change one of the two")
        return self

    @model_validator(mode="after")
    def _warm_up_leaves_epochs(self) -> "Train":
        if self.schedule == "cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves none of epochs = {self.epochs}; lower the one or raise the other"
            )
        return self


class Evaluate(Section):
    resamples: PositiveInt
    """Bootstrap resamples behind each interval."""


Percent = Annotated[float, Field(gt=0, le=100)]


def _check_stride(section: "Perturb | Attribute") -> None:
    if section.stride > section.window:
        raise ValueError(f"stride = {section.stride} leaves gaps between windows of {section.window}; lower it to at most window")


class Perturb(Section):
    views: Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(_no_repeats)] | None
    """Views to take pixels from, one at a time; null takes all of render.views."""
    rules: Annotated[tuple[Literal["exact", "percentile"], ...], Field(min_length=1), AfterValidator(_no_repeats)]
    """How `masks` take `levels_percent`; see pisces/masks.py."""
    masks: Annotated[tuple[Literal["top", "bottom", "random"], ...], Field(min_length=1), AfterValidator(_no_repeats)]
    levels_percent: Annotated[tuple[Percent, ...], Field(min_length=1), AfterValidator(_increasing)]
    curve_percent: Annotated[tuple[Percent, ...], AfterValidator(_increasing)]
    """Further levels of the rule `exact`, for the degradation curves."""
    regions: Annotated[tuple[Literal["ring", "sector", "cluster", "window"], ...], AfterValidator(_no_repeats)]
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


class Attribute(Section):
    methods: Annotated[
        tuple[Literal["grad_cam", "integrated_gradients", "occlusion", "rise"], ...], Field(min_length=1), AfterValidator(_no_repeats)
    ]
    """Held against the brightness of pixels, by which PIS ranks them, and against chance; see pisces/attribution.py."""
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


class Params(Section):
    base: Base
    data: Data
    synthesize: Synthesize
    render: Render
    draw: Draw
    stratify: Stratify
    augment: Augment
    train: Train
    evaluate: Evaluate
    perturb: Perturb
    pis: Pis
    attribute: Attribute

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
    yaml.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"))
    content = _read(params, yaml)
    for section, values in overlay.items():
        if section not in content or not isinstance(values, dict):
            raise ValueError(f"{section!r} is not a section of {params}; allowed are {', '.join(content)}")
        for key, value in values.items():
            content[section][key] = _in_one_line(value) if isinstance(value, list) else value
    parse_params(content, f"{params} with the overlay")
    with staged(params) as temporary:
        yaml.dump(content, temporary)


def _in_one_line(values: list) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _explain(error: dict[str, Any]) -> str:
    """One line for one pydantic error: which key, what stands there, what is allowed."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        model = Params if len(error["loc"]) == 1 else Params.model_fields[str(error["loc"][0])].annotation
        known = tuple(getattr(model, "model_fields", {}))
        return f"unknown key {where}{_suggestion(str(error['loc'][-1]), known)}; allowed here are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{where} is missing; copy it from the params.yaml of the repository"
    message = error["msg"].removeprefix("Value error, ")
    sentence = message if error["type"] == "value_error" else message[0].lower() + message[1:]
    if isinstance(error["input"], dict):  # the message of a whole section names its keys and values itself
        return f"{where}: {sentence}" if where else sentence
    return f"{where} = {json.dumps(error['input'])[:80]}: {sentence}"
