"""Training frames under the symmetries of their pictures: quarter turns and mirrors.

Times j a frame is what another carrier phase would have brought, and conjugated it is another frame
of the same modulation, save for single sidebands, which change sides. Both move whole pixels of a
constellation, so nothing is rendered anew.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from pisces.core import seeding
from pisces.data.datasets import Batch, Loader
from pisces.inputs.base import FrameStore, Input, to_device

SINGLE_SIDEBAND = ("AM-SSB-WC", "AM-SSB-SC", "AM-SSB")
"""Modulations whose conjugated frames are none of theirs."""


class SymmetryDraws(NamedTuple):
    """Which of the eight symmetries each frame of a batch gets, arrays (n,)."""

    quarter_turns: np.ndarray
    """int64, 0 to 3."""
    mirrored: np.ndarray
    """bool; mirrored first, then turned."""


def draw(seed: int, epoch: int, identities: Sequence[tuple[str, int, int]]) -> SymmetryDraws:
    """A uniform choice for each frame, whatever others there are.

    Args:
        seed: root of every random choice.
        epoch: counted from 1.
        identities: (modulation, SNR in dB, row in the source file) of each of n frames.

    Returns:
        The draws, arrays (n,).
    """
    quarter_turns = np.zeros(len(identities), np.int64)
    mirrored = np.zeros(len(identities), bool)
    for i, (modulation, snr_db, row) in enumerate(identities):
        drawn = _bits_of_cell(seed, epoch, modulation, snr_db)(row)
        mirror, quarter_turns[i] = divmod(drawn % 8, 4)
        mirrored[i] = mirror and modulation not in SINGLE_SIDEBAND
    return SymmetryDraws(quarter_turns, mirrored)


@lru_cache(maxsize=2048)  # more than the cells of any data set
def _bits_of_cell(seed: int, epoch: int, modulation: str, snr_db: int) -> seeding.RowBits:
    return seeding.RowBits(seed, "symmetry", epoch, modulation, snr_db)


class Symmetric:
    """Frames of another loader, turned and mirrored anew in each epoch; labels stay.

    Args:
        loader: makes the batches.
        store: whose frames they are.
        model_input: how they are stored.
        seed: root of every random choice.
        epoch: counted from 1.
        device: where batches are made.
    """

    def __init__(
        self,
        loader: Loader,
        store: FrameStore,
        model_input: Input,
        seed: int,
        epoch: int,
        device: torch.device,
    ):
        self.loader, self.store, self.input = loader, store, model_input
        self.seed, self.epoch, self.device = seed, epoch, device

    def gather(self, index: np.ndarray) -> tuple[Any, SymmetryDraws]:
        identities = self.store.identities(index)
        return self.loader.gather(index), draw(self.seed, self.epoch, identities)

    def prepare(self, gathered: tuple[Any, SymmetryDraws]) -> Batch:
        frames, draws = gathered
        batch = self.loader.prepare(frames)
        quarter_turns, mirrored = (to_device(values, self.device) for values in draws)
        return batch._replace(stored=self.input.turned(batch.stored, quarter_turns, mirrored))
