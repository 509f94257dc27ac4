"""Which frames a training takes: its data as a whole, and those of one epoch in their order."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core.seeding import generator
from pisces.data import splitting
from pisces.data.datasets import Loader, ResidentFrames, StoredFrames, frames_in_reach
from pisces.inputs.base import FrameStore, Input
from pisces.inputs.waveform import IqStore, frames_behind
from pisces.models.cldnn import Settings
from pisces.training import curriculum
from pisces.training.augmentation import Augmentation, Augmented
from pisces.training.masking import RandomlyMasked
from pisces.training.settings import (
    NoiseAwareSettings,
    TrainingSettings,
    require_noise_reaches_a_class,
)
from pisces.training.symmetry import Symmetric


class TrainingData(NamedTuple):
    """What is trained on, and the settings that go with a kind of model."""

    store: FrameStore
    frames: IqStore | None
    """The IQ behind `store`, where augmentation or the calibration looks at it."""
    parts: dict[str, np.ndarray]
    """`train` and `validation`, each an index (n, 3)."""
    input: Input
    augmentation: Augmentation
    cldnn: Settings | None = None
    """What a `cldnn` is made of..."""
    noise_aware: NoiseAwareSettings | None = None
    """...and how it learns what is noise."""
    sps: int | None = None
    """Samples a symbol, which only `augmentation.impairments` needs."""
    masked_share: float = 0
    """Of training frames the most that random masks take, 0..1: see `training.masking`."""


def open_data(
    root: Path,
    splits: Path,
    model_input: Input,
    augmentation: Augmentation,
    cldnn: Settings | None,
    noise_aware: NoiseAwareSettings | None,
    sps: int,
) -> TrainingData:
    """The data set below a folder, with the IQ behind it where something looks at that.

    Args:
        root: of the data set.
        splits: file of the parts.
        model_input: what the model takes.
        augmentation: which may change frames.
        cldnn: what a `cldnn` is made of.
        noise_aware: how it learns what is noise.
        sps: samples a symbol.

    Returns:
        What is trained on.

    Raises:
        ValueError: when the constellations were not rendered from the frames that are needed, or
            the noise to be added is too little to change anything.
    """
    store = model_input.open(root)
    require_noise_reaches_a_class(augmentation.noise_db, store.snrs_db, store.snr_label)
    parts = splitting.read_splits(splits, store.sizes)
    # What tells known from unknown frames is measured in their symbols and noise.
    needs_iq = augmentation.changes_frames or store.receiver is not None
    iq = frames_behind(store, root) if needs_iq else None
    return TrainingData(store, iq, parts, model_input, augmentation, cldnn, noise_aware, sps)


def steps_of_epoch(frames: int, batch_size: int, processes: int) -> int:
    """Steps of an epoch of so many frames.

    A last batch counts when each process gets two frames of it: a single one has no variance for
    batch normalisation to divide by.

    Args:
        frames: of an epoch.
        batch_size: frames a step, of all processes together.
        processes: that share each batch.

    Returns:
        The number of steps.
    """
    full_batches, rest = divmod(frames, batch_size)
    last_counts = rest >= 2 * processes
    return full_batches + 1 if last_counts else full_batches


def stored_frames(data: TrainingData, device: torch.device) -> StoredFrames | ResidentFrames:
    """Makes batches on a device of the frames of both parts, as they are stored."""
    both = np.concatenate([data.parts["train"], data.parts["validation"]])
    return frames_in_reach(data.store, both, device)


def frames_of_epoch(
    data: TrainingData,
    config: TrainingSettings,
    seed: int,
    epoch: int,
    stored: StoredFrames | ResidentFrames,
) -> tuple[Loader, np.ndarray]:
    """The training frames of one epoch, shuffled, and varied where augmentation asks for it.

    Where the curriculum admits fewer SNRs, each of their frames comes more often.

    Args:
        data: the frames and how they are varied.
        config: curriculum, balance of the SNRs and batch size.
        seed: root of every random choice.
        epoch: counted from 1.
        stored: makes batches of the frames as they are stored.

    Returns:
        What makes batches of frames, and an index (n, 3) of as many as there are training frames.
    """
    store, index = data.store, data.parts["train"]
    admitted = curriculum.admitted(epoch, config.curriculum_epochs, store.snrs_db)  # (SNRs,)
    snr = index[:, 1]
    taking_part = index[admitted[snr]]
    order = generator(seed, "shuffle", epoch).permutation(taking_part)
    if config.snr_balance:
        rng = generator(seed, "balance", epoch)
        order = curriculum.balanced(order, config.snr_balance, rng)
    order = np.resize(order, index.shape)  # which repeats frames until there are enough

    loader: Loader = stored
    device = stored.device
    if data.augmentation.changes_frames:
        assert data.frames is not None, "augmentation needs the IQ frames"
        snrs_db = np.array(store.snrs_db)[admitted].tolist()
        loader = Augmented(
            store, data.frames, data.augmentation, seed, epoch, snrs_db, device, data.sps
        )
    if data.masked_share:
        loader = RandomlyMasked(loader, store, data.input, data.masked_share, seed, epoch, device)
    if data.augmentation.symmetry:
        loader = Symmetric(loader, store, data.input, seed, epoch, device)
    return loader, order
