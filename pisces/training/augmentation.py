"""Frames as they might as well have been received, for training: another phase, carrier, start, noise or gain; and mixup.

What is random about a frame is drawn on the CPU from its identity and the epoch; the arithmetic is batched where the frames are.
A frame then comes out the same whatever batch, rank or, but for rounding, device it is in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import seeding
from pisces.data.datasets import Batch
from pisces.inputs.base import FrameStore, to_device
from pisces.inputs.waveform import IqStore


@dataclass(frozen=True)
class Augmentation:
    """What is varied, and how much; by default nothing."""

    phase: bool = False
    """Uniform carrier phase."""
    carrier_offset_std: float = 0
    """Standard deviation of an added carrier offset, in cycles a sample; 0: none."""
    time_shift: bool = False
    """Circular shift by a uniform number of samples. Its seam is a jump of wide spectrum, in which low noise floors drown: the audit takes
    it for noise 30 dB below a frame of 1 024 samples (tests/test_augmentation.py)."""
    noise_db: float = 0
    """Added noise lowers the SNR by up to so many dB, to a class of the grid; 0: none."""
    gain_db: float = 0
    """The level that a model of raw IQ sees, of a frame over its RMS, changes by up to so many dB either way; 0: none."""
    mixup_alpha: float = 0
    """Each batch's share comes from Beta(alpha, alpha); 0: no mixup."""
    mixup_probability: float = 1
    """Of a batch to be mixed at all."""
    mixup_snr_min_db: float | None = None
    """Only pairs of frames of at least this SNR are mixed; None: all."""
    mixup_losses: str = "classifier_only"
    """classifier_only or all_losses: whether auxiliary losses see the mixed frames, too."""

    @property
    def changes_frames(self) -> bool:
        """Whether anything but mixup, which acts on what the model sees, is on."""
        return bool(
            self.phase
            or self.carrier_offset_std
            or self.time_shift
            or self.noise_db
            or self.gain_db
        )


class Draws(NamedTuple):
    """What is random about a batch: arrays (n,), all zero where nothing changes."""

    phase: np.ndarray
    """In turns, 0 to 1."""
    carrier_offset: np.ndarray
    """In cycles a sample."""
    shift: np.ndarray
    """As a fraction of the frame, 0 to 1."""
    snr_drop_db: np.ndarray
    """int64, label minus new label."""
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
) -> Draws:
    """Draws for the frames of `identities` (modulation, SNR in dB, row in the source file), each from its own generator.

    The new SNR is uniform over the classes `snrs_db` (increasing) from the label down to `noise_db` below it, so that it is
    a class again, and never under the lowest. Low classes thus gain frames that high ones lose. Turning one setting on or off leaves the
    draws of the others as they were.

    Raises:
        ValueError: when the SNR of an identity is none of `snrs_db`.
    """
    labels, grid = np.array([snr_db for _, snr_db, _ in identities], np.int64), np.asarray(snrs_db)
    if strangers := sorted(set(labels.tolist()) - set(grid.tolist())):
        raise ValueError(
            f"frames of {strangers} dB are in none of the SNR classes {grid.tolist()}; leave them out or add their class"
        )
    uniform, normal, gain, noise_seed = (
        np.zeros((len(labels), 3)),
        *np.zeros((2, len(labels))),
        np.zeros(len(labels), np.int64),
    )
    for i, identity in enumerate(identities if settings.changes_frames else ()):
        rng = seeding.generator(seed, "augment", epoch, *identity)
        uniform[i], normal[i], noise_seed[i], gain[i] = (
            rng.random(3),
            rng.normal(),
            rng.integers(2**63),
            rng.uniform(-1, 1),
        )
    lowest, own = np.searchsorted(grid, labels - settings.noise_db), np.searchsorted(grid, labels)
    chosen = lowest + np.floor(uniform[:, 2] * (own - lowest + 1)).astype(np.int64)
    return Draws(
        phase=uniform[:, 0] * settings.phase,
        carrier_offset=normal * settings.carrier_offset_std,
        shift=uniform[:, 1] * settings.time_shift,
        snr_drop_db=labels - grid[chosen],
        noise_seed=noise_seed,
        gain_db=gain * settings.gain_db,
    )


def augment(
    frames: torch.Tensor, snr_db: torch.Tensor, draws: Draws
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (n, samples, 2) float32, I then Q, and their SNR in dB (n,) as `draws` have them; the input itself where they are zero.

    Frames are shifted, turned, and then given noise. Their power is not kept: whoever takes them divides by the RMS anyway.
    """

    def here(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(frames.device)

    iq = torch.view_as_complex(frames)  # (n, samples, 2) -> (n, samples)
    if draws.shift.any():
        iq = shift(iq, here(np.floor(draws.shift * iq.shape[1]).astype(np.int64)))
    if draws.phase.any() or draws.carrier_offset.any():
        iq = turn(
            iq, here(draws.phase.astype(np.float32)), here(draws.carrier_offset.astype(np.float32))
        )
    if draws.snr_drop_db.any():
        drop_db = here(draws.snr_drop_db).to(snr_db.dtype)
        iq, snr_db = lower_snr(iq, snr_db, drop_db, here(draws.noise_seed)), snr_db - drop_db
    return torch.view_as_real(iq), snr_db


def shift(iq: torch.Tensor, delay: torch.Tensor) -> torch.Tensor:
    """Complex frames (n, samples), each later by `delay` (n,) int64 samples; what leaves at the end comes in at the start."""
    samples = iq.shape[1]
    return iq.gather(1, (torch.arange(samples, device=iq.device) - delay[:, None]) % samples)


def turn(iq: torch.Tensor, phase: torch.Tensor, carrier_offset: torch.Tensor) -> torch.Tensor:
    """Complex frames (n, samples) turned by `phase` (n,) turns at the first sample and `carrier_offset` (n,) more at each next one."""
    turns = phase[:, None] + carrier_offset[:, None] * torch.arange(iq.shape[1], device=iq.device)
    return iq * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)


def lower_snr(
    iq: torch.Tensor, snr_db: torch.Tensor, drop_db: torch.Tensor, seed: torch.Tensor
) -> torch.Tensor:
    """Complex frames (n, samples) of total-band `snr_db` (n,) with white noise added, so that the SNR falls by `drop_db` (n,).

    Of a frame's measured power P, linear SNR g makes S = P g / (1 + g) signal and N = P / (1 + g) noise. For the SNR g / d there must be
    S d / g = N d noise, so N (d - 1) is added.
    """
    power = 2 * torch.view_as_real(iq).square().mean((1, 2))
    noise_power = power / (1 + 10 ** (snr_db / 10))
    added_power = noise_power * (10 ** (drop_db / 10) - 1)
    return iq + added_power.sqrt()[:, None] * white_noise(seed, iq.shape[1])


def white_noise(seed: torch.Tensor, samples: int) -> torch.Tensor:
    """Circular Gaussian noise of unit mean power: complex64 (n, samples), each row from its own seed (n,) int64 alone.

    Not from `torch.Generator`, which would have to be seeded and asked frame by frame. Box & Muller (1958) on 32-bit halves.
    """
    bits = splitmix64(seed, samples)
    u, v = (bits & 0xFFFFFFFF) + 1, _shift_right(bits, 32)
    return torch.polar((-torch.log(u.float() * 2**-32)).sqrt(), 2 * math.pi * 2**-32 * v.float())


def splitmix64(seed: torch.Tensor, count: int) -> torch.Tensor:
    """The first `count` outputs of SplitMix64 for each seed (n,): int64 (n, count), to be read as 64 bits.

    Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, fig. 16. Its constants, as signed numbers.
    """
    z = seed[:, None] + torch.arange(1, count + 1, device=seed.device) * _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift_right(z, 31)


def _signed(bits: int) -> int:
    return bits - 2**64


def _shift_right(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Shift that brings in zeros, not copies of the sign as `>>` does."""
    return (bits >> count) & (2 ** (64 - count) - 1)


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
        return torch.lerp(inputs[self.other], inputs, self.share.view(-1, *[1] * (inputs.ndim - 1)))

    def loss(
        self, loss: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor
    ) -> torch.Tensor:
        """Mean of the losses (n,) that `loss` gives for targets (n,), mixed as the inputs are."""
        return (self.share * loss(target) + (1 - self.share) * loss(target[self.other])).mean()


def draw_mix(settings: Augmentation, snr_db: torch.Tensor, rng: np.random.Generator) -> Mix | None:
    """Mixup of a batch of frames of `snr_db` (n,): one share for all pairs, from Beta(alpha, alpha); None where nothing is mixed.

    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
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


class Augmented:
    """Frames varied anew in each epoch, then made what `data` stores of them; added noise stays within the SNR classes `snrs_db`."""

    def __init__(
        self,
        data: FrameStore,
        frames: IqStore,
        settings: Augmentation,
        seed: int,
        epoch: int,
        snrs_db: Sequence[int],
        device: torch.device,
    ):
        self.data, self.frames, self.device = data, frames, device
        self.draw = lambda identities: draw(settings, seed, epoch, identities, snrs_db)

    def gather(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, Draws]:
        return (
            self.frames.gather(index),
            index[:, :2].copy(),
            self.draw([self.data.identity(frame) for frame in index]),
        )

    def prepare(self, gathered: tuple[np.ndarray, np.ndarray, Draws]) -> Batch:
        frames, targets, draws = gathered
        modulation, snr = to_device(targets, self.device).unbind(1)
        snrs_db = torch.tensor(self.data.snrs_db, dtype=torch.float32, device=self.device)
        varied, snr_db = augment(to_device(frames, self.device), snrs_db[snr], draws)
        stored = self.data.encode(varied)
        if draws.gain_db.any():
            stored = (
                stored
                * to_device(10 ** (draws.gain_db.astype(np.float32) / 20), self.device)[
                    :, None, None
                ]
            )
        return Batch(stored, modulation, nearest_class(snr_db, self.data.snrs_db))
