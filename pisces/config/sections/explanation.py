"""What is measured and shown of a trained model, from `evaluate` to `explore`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pisces.config.fields import (
    Epochs,
    EpochsFromZero,
    Fraction,
    Frames,
    Levels,
    Positive,
    Resamples,
    Section,
    SnrDb,
    Text,
    Unit,
    Views,
    WindowShare,
    at_most,
    check_stride,
    increasing,
    no_repeats,
)
from pisces.explorer.settings import MOST_FRAMES
from pisces.inputs.settings import OtherViews

Rule = Literal["exact", "percentile"]
MaskName = Literal["top", "bottom", "random"]
Region = Literal["ring", "sector", "cluster", "window"]
MethodName = Literal[
    "grad_cam", "gradient", "integrated_gradients", "occlusion", "rise", "leave_one_out", "shapley"
]


class Evaluate(Section):
    """The accuracy on the test frames."""

    bypass_denoiser: bool
    """Whether a denoiser is left out, to see what it is worth to the model that was trained with
    it."""


class Perturb(Section):
    """Which pixels are masked; see pisces/pis/masks.py."""

    views: Views | None
    """Views in which pixels are masked, one at a time; null takes all of render.views."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(no_repeats)]
    """How `masks` take `levels_percent`: exactly so many lit pixels, or by a percentile."""
    masks: Annotated[tuple[MaskName, ...], Field(min_length=1), AfterValidator(no_repeats)]
    """Which lit pixels: the brightest, the dimmest lit, or random ones."""
    levels_percent: Annotated[Levels, Field(min_length=1)]
    """How many pixels are masked, of those that are lit."""
    curve_percent: Levels
    """Further levels of the rule `exact`, for the degradation curves."""
    regions: Annotated[tuple[Region, ...], AfterValidator(no_repeats)]
    """Parts of the image that are masked whole."""
    rings: Annotated[int, Field(ge=2, le=32)]
    """Number of rings of equal width, from the centre to the border."""
    sectors: Annotated[int, Field(ge=2, le=32)]
    """Number of sectors of equal angle, the first centred on the I axis."""
    core_percent: Annotated[float, Field(gt=0, lt=100)]
    """Share of the points that the cluster cores hold; the rest is transitions between them."""
    window: WindowShare
    """Side of a sliding window."""
    stride: WindowShare
    """From one window to the next."""
    frames_per_cell: Frames | None
    """Test frames of each (modulation, SNR) to perturb; null takes all."""

    @model_validator(mode="after")
    def _windows_cover(self) -> Self:
        check_stride(self.window, self.stride)
        return self

    @model_validator(mode="after")
    def _curve_has_its_rule(self) -> Self:
        if self.curve_percent and "exact" not in self.rules:
            raise ValueError(
                f"curve_percent = {list(self.curve_percent)} are levels of the rule exact, "
                f"but rules has only {', '.join(self.rules)}; "
                "add exact to rules or set curve_percent to []"
            )
        return self


class Pis(Section):
    """The Perturbation Impact Score."""

    fill: Literal["zero", "resample"]
    """What takes the place of the samples behind masked pixels, for `train.input: iq`: silence, or
    other samples of the frame."""
    removal: Literal["blackout", "redraw", "both"]
    """How masked symbols are taken away: their pixels go dark, or new symbols are drawn in their
    place from the law given the others, which leaves no hole; `both` compares the two on the same
    frames, in plots/pis_redraw.csv. What cannot be redrawn is refused and counted: see
    pisces/truth/redraw.py."""
    other_views: OtherViews
    """Of redraw: whether the views that are not masked stay as they are, or show the new samples. A
    model of raw frames is always given these."""
    redraw_frames_per_cell: Frames | None
    """Of `perturb.frames_per_cell` how many are redrawn; null takes all. A mask takes one core some
    2 ms a frame."""


class Attribute(Section):
    """Attribution methods, compared with the brightness of pixels, by which PIS ranks them, and
    with a random baseline."""

    methods: Annotated[tuple[MethodName, ...], Field(min_length=1), AfterValidator(no_repeats)]
    """Methods that are compared; see pisces/attribution/methods.py."""
    frames_per_cell: Frames
    """Test frames of each (modulation, SNR) to explain."""
    layer: Text
    """Of the backbone, which `grad_cam` reads; auto: the last one whose map has 4 x 4 cells or
    more."""
    ig_steps: Annotated[
        int, Field(gt=0), at_most(10_000, "each a pass backwards of every frame"), Unit("steps")
    ]
    """Points on the way from a dark image, for `integrated_gradients`, of every frame at first."""
    ig_tolerance: Annotated[float, Field(gt=0)]
    """Where the values of a map miss the logit that they must add up to by a larger share, it is
    made again with twice the steps..."""
    ig_most_steps: Annotated[
        int, Field(gt=0), at_most(10_000, "each a pass backwards of every frame"), Unit("steps")
    ]
    """...as long as these are no more than this."""
    window: WindowShare
    """Side of the window of `occlusion`."""
    stride: WindowShare
    """From one window to the next."""
    rise_masks: Annotated[
        int, Field(gt=0), at_most(100_000, "each a pass of every frame"), Unit("masks")
    ]
    """Random masks of `rise`."""
    rise_cells: Annotated[int, Field(ge=2, le=32), Unit("cells")]
    """Along each side of a random mask of `rise`."""
    rise_keep: Fraction
    """Chance of a cell to stay."""
    shapley_permutations: Annotated[
        int,
        Field(gt=0),
        at_most(10_000, "each a pass of every frame for every pixel"),
        Unit("orders"),
    ]
    """Random orders in which `shapley` lights the pixels."""
    levels_percent: Annotated[Levels, Field(min_length=2)]
    """Points of the deletion and insertion curves, in percent of the lit pixels of all views."""
    infidelity_samples: Annotated[int, Field(gt=0), at_most(10_000, "each a pass of every frame")]
    """Random perturbations of each image, for infidelity."""
    masked_frames_per_cell: Frames
    """Test frames of each (modulation, SNR) that show what random masks cost the model, before and
    after `explain.mask_tuning`."""
    checked_frames: Annotated[Frames, Field(ge=2)]
    """Frames, spread over the cells, for the sanity checks and the sensitivity, in which every map
    is made anew."""
    sensitivity_radius: Positive
    """Largest change of any pixel value, for the sensitivity."""
    sensitivity_samples: Annotated[
        int, Field(gt=0), at_most(1000, "for each of which every map is made anew")
    ]
    """Random changes of each image, for the sensitivity."""
    randomised_steps: Annotated[
        int, Field(gt=0), at_most(1000, "more than there are layers"), Unit("steps")
    ]
    """Steps in which the weights are made random, from the heads down to the stem."""
    shuffled_frames: Annotated[Frames, Field(ge=2)]
    """Training frames, with shuffled labels, of the control model that has nothing to explain..."""
    shuffled_epochs: Epochs
    """...and its passes over them."""
    resamples: Resamples
    """Bootstrap resamples behind each interval."""

    @model_validator(mode="after")
    def _windows_cover(self) -> Self:
        check_stride(self.window, self.stride)
        return self


class MaskTuning(Section):
    """A fine-tuning of the trained model on frames without random pixels, and a control of as many
    steps without masks."""

    epochs: EpochsFromZero
    """Passes over the training frames; 0 tunes no model."""
    share: Annotated[float, Field(gt=0, le=1)]
    """The most that a mask takes of the pixels of a view. Half of the views stay whole; of the
    others goes a share drawn uniformly from 0 to this. For `train.input: iq`, of the samples."""
    lr: Positive
    """The highest learning rate, of the schedule `one_cycle`."""


class Explain(Section):
    """What prepares a model for being explained."""

    mask_tuning: MaskTuning
    """After F-Fidelity (Zheng et al., ICLR 2025); see pisces/training/mask_tuning.py."""


class Explore(Section):
    """The frames that can be explored on the page plots/report.html."""

    frames: Annotated[Frames, at_most(MOST_FRAMES, "the most that a page may hold")]
    """Test frames on the page, spread over modulations and SNRs; fewer where these are fewer."""
    methods: Annotated[tuple[MethodName, ...], Field(min_length=1), AfterValidator(no_repeats)]
    """Attribution methods that are shown, set up as `attribute` says; see
    pisces/attribution/methods.py."""
    levels_percent: Annotated[Levels, Field(min_length=1)]
    """Shares of the lit pixels of all views that a method puts first, and that are taken."""


class Counterfactual(Section):
    """How few symbols of a frame must move until another class is predicted: each to one draw from
    the law of a rival in its place."""

    pairs: Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(no_repeats)] | None
    """A class and its rival each, such as `QPSK to 8PSK`; the rival `runner_up` is what the model
    finds second likeliest. Null takes the usual pairs, as far as the data have both classes."""
    snrs_db: Annotated[tuple[SnrDb, ...], Field(min_length=1), AfterValidator(increasing)] | None
    """Labels of the frames; null takes all."""
    frames_per_cell: Frames
    """Test frames of each class of a pair and SNR."""
    methods: Annotated[tuple[MethodName, ...], AfterValidator(no_repeats)]
    """Attributions by whose order symbols move, set up as `attribute` says; the others are by
    evidence, by what the model does when one symbol moves, and at random."""
    other_views: OtherViews
    """Whether the other views of a frame stay as they are, or show its new samples."""


class Limits(Section):
    """What is possible, by the likelihood: all known, and no more known than a receiver finds."""

    trials: Annotated[
        int, Field(gt=0), at_most(100_000, "which take about an hour an SNR"), Unit("frames")
    ]
    """Of each modulation and SNR; 100 take some 3 s an SNR for 16 constellations of 128 symbols."""
    blind_frames: Frames | None
    """Test frames of each (modulation, SNR) for the blind reference; null takes all. One core
    compares some 1 000 a second."""
