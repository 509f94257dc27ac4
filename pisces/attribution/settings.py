"""How attributions are made, measured and checked: the section `attribute` of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AttributionSettings:
    """Of the methods (`methods`), measures (`faithfulness`) and sanity checks (`sanity`)."""

    methods: tuple[str, ...]
    frames_per_cell: int  # test frames of each (modulation, SNR)
    layer: str  # of the backbone, which Grad-CAM reads, or auto
    ig_steps: int  # points on the path of Integrated Gradients, at first
    ig_tolerance: float  # their largest completeness error that is left as it is
    ig_most_steps: int  # never more than these by doubling
    window: float  # of Occlusion: side, over that of the image
    stride: float  # of Occlusion: from one window to the next, over the side of the image
    rise_masks: int
    rise_cells: int  # along each side of a random mask
    rise_keep: float  # chance of a cell to stay
    shapley_permutations: int  # random orders of the lit pixels
    levels_percent: tuple[float, ...]  # of deletion and insertion, in percent of the lit pixels
    infidelity_samples: int
    masked_frames_per_cell: int  # of the cost of random masks
    checked_frames: int  # of the sanity checks and the sensitivity
    sensitivity_radius: float  # largest change of a pixel value
    sensitivity_samples: int
    randomised_steps: int  # models with ever more random weights
    shuffled_frames: int  # of the model trained on shuffled labels
    shuffled_epochs: int
    resamples: int  # of the bootstrap
