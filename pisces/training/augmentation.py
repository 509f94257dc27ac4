"""Training frames as they might as well have been received, and mixup.

A frame gets another phase, carrier, start, noise or gain, and impairments (`training.impaired`).
What is random about it is drawn on the CPU from its identity and the epoch; the arithmetic is
batched where the frames are. So a frame comes out the same whatever batch, rank or, but for
rounding, device it is in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import seeding
from pisces.core.impairment_settings import ImpairmentSettings
from pisces.core.snr_label import SnrLabel, label_of, true_snr_db
from pisces.data.datasets import Batch
from pisces.inputs.base import FrameStore, to_device
from pisces.inputs.waveform import IqStore
from pisces.training import impaired
from pisces.training.impaired import BatchImpairments
from pisces.training.noise import white_noise


@dataclass(frozen=True)
class Augmentation:
    """What is varied, and how much; by default nothing."""

    phase: bool = False
    """Uniform carrier phase."""
    carrier_offset_std: float = 0
    """Standard deviation of an added carrier offset, in cycles a sample; 0: none."""
    time_shift: bool = False
    """Circular shift by a uniform number of samples.

    Its seam is a jump of wide spectrum, in which low noise floors drown: the audit takes it for
    noise 30 dB below a frame of 1 024 samples (tests/training/test_augmentation.py).
    """
    noise_db: float = 0
    """Added noise lowers the true SNR by up to so many dB, to a class of the grid; 0: none."""
    gain_db: float = 0
    """Level, of a frame over its RMS as a model of raw IQ sees it, changes by up to so many dB
    either way; 0: none."""
    impairments: ImpairmentSettings | None = None
    """Which impairments a frame may have, and between which limits; None: none."""
    impairment_probability: float = 0.5
    """Of each impairment to be there, whatever the others; clean frames are among them below 1."""
    symmetry: bool = False
    """Random quarter turns and mirrors of what is stored of a frame: see `training.symmetry`."""
    mixup_alpha: float = 0
    """Each batch's share comes from Beta(alpha, alpha); 0: no mixup."""
    mixup_probability: float = 1
    """Of a batch to be mixed at all."""
    mixup_snr_min_db: float | None = None
    """Only pairs of frames of at least this SNR label are mixed; None: all."""
    mixup_losses: str = "classifier_only"
    """classifier_only or all_losses: whether auxiliary losses see the mixed frames, too."""

    @property
    def changes_frames(self) -> bool:
        """Whether the IQ frames are varied: by anything but symmetry and mixup, which act on what
        is stored of them and on what the model sees.
        """
        turns = self.phase or self.carrier_offset_std
        levels = self.noise_db or self.gain_db
        return bool(turns or self.time_shift or levels or self.impairments)


class Draws(NamedTuple):
    """What is random about a batch: arrays (n,), all zero where nothing changes."""

    phase: np.ndarray
    """In turns, 0 to 1."""
    carrier_offset: np.ndarray
    """In cycles a sample."""
    shift: np.ndarray
    """As a fraction of the frame, 0 to 1."""
    snr_drop_db: np.ndarray
    """int64, true SNR minus new true SNR."""
    noise_seed: np.ndarray
    """int64."""
    gain_db: np.ndarray
    """Of the level after the division by the RMS."""


def draw(
    settings: Augmentation,
    seed: int,
    epoch: int,
    identities: Sequence[tuple[str, int, int]],
    snrs_db: Sequence[int],
    snr_label: SnrLabel = "power",
) -> Draws:
    """What is random about some frames, of each from its own generator.

    The new SNR is uniform over the classes from its own down to `noise_db` below it: a class
    again, and never under the lowest. Low classes thus gain frames that high ones lose. Turning one
    setting on or off leaves the draws of the others as they were.

    Args:
        settings: what is varied, and how much.
        seed: root of every random choice.
        epoch: counted from 1.
        identities: (modulation, SNR label, row in the source file) of each of n frames.
        snrs_db: the labels of the classes, increasing.
        snr_label: what the labels mean.

    Returns:
        The draws, arrays (n,).

    Raises:
        ValueError: when the SNR of an identity is none of the classes.
    """
    labels_db = np.array([snr_db for _, snr_db, _ in identities], np.int64)
    classes_db = np.asarray(snrs_db)
    _check_labels(labels_db, classes_db)

    n = len(identities)
    phase, delay, step = np.zeros(n), np.zeros(n), np.zeros(n)  # uniform, 0 to 1
    carrier_offset = np.zeros(n)  # standard normal
    noise_seed = np.zeros(n, np.int64)
    gain = np.zeros(n)  # uniform, -1 to 1
    if settings.changes_frames:
        for i, identity in enumerate(identities):
            rng = seeding.generator(seed, "augment", epoch, *identity)
            phase[i], delay[i], step[i] = rng.random(3)
            carrier_offset[i] = rng.normal()
            noise_seed[i] = rng.integers(2**63)
            gain[i] = rng.uniform(-1, 1)

    own = np.searchsorted(classes_db, labels_db)
    lowest = np.searchsorted(classes_db, labels_db - label_of(settings.noise_db, snr_label))
    chosen = lowest + np.floor(step * (own - lowest + 1)).astype(np.int64)
    return Draws(
        phase=phase * settings.phase,
        carrier_offset=carrier_offset * settings.carrier_offset_std,
        shift=delay * settings.time_shift,
        snr_drop_db=true_snr_db(labels_db - classes_db[chosen], snr_label),
        noise_seed=noise_seed,
        gain_db=gain * settings.gain_db,
    )


def _check_labels(labels_db: np.ndarray, classes_db: np.ndarray) -> None:
    unknown = sorted(set(labels_db.tolist()) - set(classes_db.tolist()))
    if unknown:
        raise ValueError(
            f"frames of {unknown} dB are in none of the SNR classes {classes_db.tolist()}; "
            "leave them out or add their class"
        )


def augment(
    frames: torch.Tensor,
    snr_db: torch.Tensor,
    draws: Draws,
    impairments: BatchImpairments | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames shifted, turned, and then given noise, with impairments before and after it.

    Their power is not kept: whoever takes them divides by the RMS anyway.

    Args:
        frames: float32 (n, samples, 2), I then Q.
        snr_db: their true SNRs (n,).
        draws: what changes; its gain is not applied here.
        impairments: what spoils the frames; None: nothing.

    Returns:
        Frames and true SNRs of the same shapes; the input itself where all draws are zero and
        nothing spoils the frames.
    """

    def here(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(frames.device)

    iq = torch.view_as_complex(frames)  # (n, samples, 2) -> (n, samples)
    if draws.shift.any():
        iq = shift(iq, here(np.floor(draws.shift * iq.shape[1]).astype(np.int64)))
    if draws.phase.any() or draws.carrier_offset.any():
        phase, offset = draws.phase.astype(np.float32), draws.carrier_offset.astype(np.float32)
        iq = turn(iq, here(phase), here(offset))
    if impairments is not None:
        iq = impairments.before_noise(iq)
    if draws.snr_drop_db.any():
        drop_db = here(draws.snr_drop_db).to(snr_db.dtype)
        iq = lower_snr(iq, snr_db, drop_db, here(draws.noise_seed))
        snr_db = snr_db - drop_db
    if impairments is not None:
        iq = impairments.after_noise(iq)
    return torch.view_as_real(iq), snr_db


def shift(iq: torch.Tensor, delay: torch.Tensor) -> torch.Tensor:
    """Complex frames (n, samples), each later by `delay` (n,) int64 samples.

    What leaves at the end comes in at the start.
    """
    samples = iq.shape[1]
    source = torch.arange(samples, device=iq.device) - delay[:, None]  # (n, samples)
    return iq.gather(1, source % samples)


def turn(iq: torch.Tensor, phase: torch.Tensor, carrier_offset: torch.Tensor) -> torch.Tensor:
    """Complex frames with another phase and carrier.

    Args:
        iq: (n, samples).
        phase: of the first sample, in turns, (n,).
        carrier_offset: turns more at each next sample, (n,).

    Returns:
        Complex frames (n, samples).
    """
    turns = phase[:, None] + carrier_offset[:, None] * torch.arange(iq.shape[1], device=iq.device)
    return iq * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)


def lower_snr(
    iq: torch.Tensor, snr_db: torch.Tensor, drop_db: torch.Tensor, seed: torch.Tensor
) -> torch.Tensor:
    """Complex frames with white noise added, so that their SNR falls.

    Of a frame's measured power P, linear SNR g makes S = P g / (1 + g) signal and N = P / (1 + g)
    noise. For the SNR g / d there must be S d / g = N d noise, so N (d - 1) is added.

    Args:
        iq: (n, samples).
        snr_db: their true SNR over the whole band (n,).
        drop_db: by how much it falls (n,).
        seed: of the noise of each, int64 (n,).

    Returns:
        Complex frames (n, samples).
    """
    power = 2 * torch.view_as_real(iq).square().mean((1, 2))
    noise_power = power / (1 + 10 ** (snr_db / 10))
    added_power = noise_power * (10 ** (drop_db / 10) - 1)
    return iq + added_power.sqrt()[:, None] * white_noise(seed, iq.shape[1])


def nearest_class(snr_db: torch.Tensor, snrs_db: Sequence[int]) -> torch.Tensor:
    """Index int64 (n,) of the class of `snrs_db` nearest to each SNR (n,)."""
    classes = torch.tensor(snrs_db, dtype=snr_db.dtype, device=snr_db.device)
    return (snr_db[:, None] - classes).abs().argmin(1)


class Mix(NamedTuple):
    """Which frame is mixed into which, and how much is left of the first."""

    other: torch.Tensor
    """int64 (n,)."""
    share: torch.Tensor
    """float32 (n,), 1 where nothing is mixed in."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """`share * inputs + (1 - share) * inputs[other]` of inputs (n, ...)."""
        share = self.share.view(-1, *[1] * (inputs.ndim - 1))  # (n,) -> (n, 1, ...)
        return torch.lerp(inputs[self.other], inputs, share)

    def loss(
        self, loss: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor
    ) -> torch.Tensor:
        """Mean of the losses (n,) that `loss` gives for targets (n,), mixed as the inputs are."""
        mixed = self.share * loss(target) + (1 - self.share) * loss(target[self.other])
        return mixed.mean()


def draw_mix(settings: Augmentation, snr_db: torch.Tensor, rng: np.random.Generator) -> Mix | None:
    """Mixup of a batch: one share for all pairs, from Beta(alpha, alpha).

    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.

    Args:
        settings: how often, how much, and from which SNR on.
        snr_db: labels of the batch (n,), as `mixup_snr_min_db` is one.
        rng: draws share and pairs.

    Returns:
        The mix, None where nothing is mixed.
    """
    if settings.mixup_alpha == 0:
        return None
    share = float(rng.beta(settings.mixup_alpha, settings.mixup_alpha))
    other = torch.from_numpy(rng.permutation(len(snr_db))).to(snr_db.device)
    if rng.random() >= settings.mixup_probability:
        return None
    shares = torch.full_like(snr_db, share, dtype=torch.float32)
    if settings.mixup_snr_min_db is not None:
        high = snr_db >= settings.mixup_snr_min_db
        shares = torch.where(high & high[other], shares, 1.0)
    return Mix(other, shares)


class Gathered(NamedTuple):
    """What `Augmented` needs of a batch."""

    frames: np.ndarray
    """float32 (n, samples, 2)."""
    targets: np.ndarray
    """Modulation and SNR indices, int64 (n, 2)."""
    draws: Draws
    impairments: BatchImpairments | None


class Augmented:
    """Frames varied anew in each epoch, in the form in which a store has them.

    Args:
        store: whose frames are varied, and in whose form they come out.
        frames: the IQ behind them.
        settings: what is varied, and how much.
        seed: root of every random choice.
        epoch: counted from 1.
        snrs_db: labels of the classes within which added noise stays, increasing.
        device: where batches are made.
        sps: samples a symbol, which only impairments need.
    """

    def __init__(
        self,
        store: FrameStore,
        frames: IqStore,
        settings: Augmentation,
        seed: int,
        epoch: int,
        snrs_db: Sequence[int],
        device: torch.device,
        sps: int | None = None,
    ):
        self.store, self.frames, self.device = store, frames, device
        self.settings, self.seed, self.epoch, self.snrs_db = settings, seed, epoch, snrs_db
        self.sps = sps

    def gather(self, index: np.ndarray) -> Gathered:
        identities = self.store.identities(index)
        snr_label = self.store.snr_label
        draws = draw(self.settings, self.seed, self.epoch, identities, self.snrs_db, snr_label)
        impairments = self._draw_impairments(identities)
        return Gathered(self.frames.gather(index), index[:, :2].copy(), draws, impairments)

    def _draw_impairments(
        self, identities: Sequence[tuple[str, int, int]]
    ) -> BatchImpairments | None:
        if self.settings.impairments is None:
            return None
        assert self.sps is not None, "impairments need the samples a symbol"
        probability = self.settings.impairment_probability
        drawn = impaired.draw(probability, self.seed, self.epoch, identities)
        return BatchImpairments(self.settings.impairments, self.sps, drawn)

    def prepare(self, gathered: Gathered) -> Batch:
        frames, targets, draws, impairments = gathered
        modulation, snr = to_device(targets, self.device).unbind(1)
        classes_db = self.store.true_snrs_db
        true_db = torch.tensor(classes_db, dtype=torch.float32, device=self.device)
        varied, snr_db = augment(to_device(frames, self.device), true_db[snr], draws, impairments)
        stored = self.store.encode(varied)
        if draws.gain_db.any():
            gain = to_device(10 ** (draws.gain_db.astype(np.float32) / 20), self.device)
            stored = stored * gain[:, None, None]
        return Batch(stored, modulation, nearest_class(snr_db, classes_db))
