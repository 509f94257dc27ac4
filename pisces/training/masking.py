"""Training frames without random pixels, so that a hole is nothing new to the model.

Half of the views stay whole, so that whole frames, and each view beside a whole one, stay as
familiar as they were. Of any other view a mask takes a random share, from nothing to the most that
is asked for, and at random among all pixels: what is lit plays no part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pisces.core.seeding import generator
from pisces.data.datasets import Batch, Loader
from pisces.inputs.base import FrameStore, Input, to_device

WHOLE = 0.5
"""Probability of a view, or of what else is a group, to stay whole."""


def draw(
    share: float,
    maskable: tuple[int, int],
    seed: int,
    epoch: int,
    identities: Sequence[tuple[str, int, int]],
) -> np.ndarray:
    """Which parts a mask takes of each frame, whatever other frames there are.

    Args:
        share: the most that is taken of a group, 0..1. A group stays whole at `WHOLE`, else what is
            taken is uniform from 0 to that.
        maskable: groups, and parts of each, as `Input.maskable`.
        seed: root of every random choice.
        epoch: counted from 1.
        identities: (modulation, SNR in dB, row in the source file) of each of n frames.

    Returns:
        bool (n, groups * parts), group by group.
    """
    groups, parts = maskable
    taken = np.empty((len(identities), groups, parts), bool)
    for of_frame, identity in zip(taken, identities, strict=True):
        rng = generator(seed, "random masks", epoch, *identity)
        is_masked = rng.random((groups, 1)) >= WHOLE
        shares = is_masked * share * rng.random((groups, 1))
        of_frame[:] = rng.random((groups, parts), np.float32) < shares
    return taken.reshape(len(taken), -1)


class RandomlyMasked:
    """Frames of another loader without random pixels, others in each epoch; labels stay.

    Args:
        loader: makes the batches.
        store: whose frames they are.
        model_input: how they are stored.
        share: the most that a mask takes of a view, 0..1.
        seed: root of every random choice.
        epoch: counted from 1.
        device: where batches are made.
    """

    def __init__(
        self,
        loader: Loader,
        store: FrameStore,
        model_input: Input,
        share: float,
        seed: int,
        epoch: int,
        device: torch.device,
    ):
        self.loader, self.store, self.input = loader, store, model_input
        self.share, self.seed, self.epoch, self.device = share, seed, epoch, device

    def gather(self, index: np.ndarray) -> tuple[Any, np.ndarray]:
        identities = self.store.identities(index)
        taken = draw(self.share, self.input.maskable, self.seed, self.epoch, identities)
        return self.loader.gather(index), taken

    def prepare(self, gathered: tuple[Any, np.ndarray]) -> Batch:
        frames, taken = gathered
        batch = self.loader.prepare(frames)
        emptied = self.input.emptied(batch.stored, to_device(taken, self.device))
        return batch._replace(stored=emptied)
