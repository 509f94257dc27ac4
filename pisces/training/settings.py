"""How a model is trained: the sections `train` and `noise_aware` of params.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pisces.core.snr_label import SnrLabel, true_snr_db

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""As Fabric names it; `auto` hangs on the accelerator."""

MOST_NOISE_DB = 50
"""By which added noise lowers an SNR."""
MIN_STEP_DB = 2.0
"""A pair of frames whose SNRs are closer says too little about the noise that was added."""


@dataclass(frozen=True)
class TrainingSettings:
    """What the training loop does; see `training.trainer`."""

    seed: int  # of first weights, order and augmentation
    launcher: str  # the command that runs the stage
    input: str  # a key of `inputs.INPUTS`
    model: str  # of `models.models_for`
    pretrained: str  # none, imagenet, a file of weights or the folder of a model of ours
    freeze: tuple[str, ...]  # submodules of the model that are not trained
    branches: str  # a key of `models.branches.BRANCHES`
    snr_head: str  # a key of `models.heads.SNR_HEADS`
    snr_loss: str  # a key of `losses.SNR_LOSSES`
    label_smoothing: float  # of the modulation loss
    weighting: str  # one of `weighting.WEIGHTINGS`
    min_task_weight: float  # least share of either task
    task_weights: tuple[float, float]  # of modulation and SNR, for `fixed`
    temperature: float  # of `softmax` and `dwa`
    epochs: int
    batch_size: int  # frames a step, of all processes together
    optimizer: str
    lr: float  # the highest of the schedule
    weight_decay: float
    clip_norm: float  # largest L2 norm of the gradient of a step
    schedule: str  # one of `schedules.SCHEDULES`
    plateau_factor: float
    plateau_patience: int  # epochs
    warmup_steps: int
    cycle_epochs: int
    stop_metric: str  # a validation column of the history
    stop_patience: int  # epochs without a better `stop_metric`
    curriculum_epochs: int
    snr_balance: float  # 0: SNRs as they come, 1: all alike
    ema_decay: float  # a step; 0: no moving average
    max_skipped_steps: int  # in a row
    accelerator: str
    precision: Precision
    compile: bool


@dataclass(frozen=True)
class MaskTuning:
    """How a trained model is tuned on random masks; see `training.mask_tuning`."""

    epochs: int  # 0: not at all
    share: float  # most that a mask takes of each view, 0..1
    lr: float  # the highest


@dataclass(frozen=True)
class Phase:
    """A part of the training of a denoiser: the classifier's gradient into it, and weights."""

    epochs: int | None  # None: the rest
    gradient: float  # factor of the classifier's gradient where it enters the denoiser
    classification: float
    denoising: float
    identity: float
    noise: float
    features: float
    distillation: float


@dataclass(frozen=True)
class RawGain:
    """How the raw one of two paths is made fainter at times.

    So the classifier learns to use the denoised one.
    """

    probability: float
    below_db: float  # only for frames of a lower SNR label
    low: float  # the gain is uniform from low...
    high: float  # ...to high


@dataclass(frozen=True)
class NoiseAwareSettings:
    """How a `cldnn` learns what is noise; see `training.noise_aware`."""

    a: Phase
    b1: Phase
    b2: Phase
    c: Phase
    degrade_db: tuple[float, float]  # by how much noise lowers the true SNR, from..to
    degrade_to_db: tuple[float, float] | None  # or to which true SNR, from..to
    reference: str | None  # none, or folder of the model behind the loss `features`
    features_ramp_epochs: int
    teacher: str | None  # none, or folder of the model behind the loss `distillation`
    teach_band_db: tuple[float, float]  # SNR labels of the frames that are distilled
    temperature: float  # of the distillation
    raw_gain: RawGain

    @property
    def phases(self) -> tuple[Phase, Phase, Phase, Phase]:
        return self.a, self.b1, self.b2, self.c


def require_noise_reaches_a_class(
    noise_db: float, snrs_db: Sequence[int], snr_label: SnrLabel
) -> None:
    """Raises ValueError when added noise would never lower an SNR to that of another class.

    Args:
        noise_db: by how much it lowers the true SNR at most; 0 for no noise.
        snrs_db: the labels of the classes, increasing, two or more.
        snr_label: what the labels mean.
    """
    least_db = min(true_snr_db(high - low, snr_label) for low, high in pairwise(snrs_db))
    if not noise_db or noise_db >= least_db:
        return
    remedy = f"take {least_db} or more, or 0" if least_db <= MOST_NOISE_DB else "take 0"
    raise ValueError(
        f"augment.noise_db = {noise_db:.15g} changes no frame: added noise moves a frame to the "
        f"class of its lower SNR, and the true SNRs of the labels {', '.join(map(str, snrs_db))} "
        f"are {least_db} dB apart or more; {remedy} for no noise"
    )
