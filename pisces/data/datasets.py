"""Stored frames + an index -> batches on the device.

Nothing is held in memory: a batch costs the bytes of its frames.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pisces.inputs.base import FrameStore, to_device


class Batch(NamedTuple):
    """On the device: frames in their stored form, and the classes int64 (n,)."""

    stored: torch.Tensor
    modulation: torch.Tensor
    snr: torch.Tensor


class Loader(Protocol):
    """Makes batches in two steps, so that one batch is read while another is computed on."""

    def gather(self, index: np.ndarray) -> Any:
        """Reads what frames (n, 3) need, on any thread."""
        ...

    def prepare(self, gathered: Any) -> Batch:
        """Makes a batch of it where the model is."""
        ...


class StoredFrames:
    """Frames as they are in the shards."""

    def __init__(self, store: FrameStore, device: torch.device):
        self.store, self.device = store, device

    def gather(self, index: np.ndarray) -> tuple[Any, np.ndarray]:
        return self.store.gather(index), index[:, :2].copy()

    def prepare(self, gathered: tuple[Any, np.ndarray]) -> Batch:
        frames, targets = gathered
        modulation, snr = to_device(targets, self.device).unbind(1)
        return Batch(self.store.prepare(frames, self.device), modulation, snr)


def batches(
    loader: Loader, index: np.ndarray, batch_size: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """The frames of an index, batch by batch; the next is read while one is in use.

    Args:
        loader: reads and prepares the frames.
        index: int64 (n, 3).
        batch_size: frames a batch, of all processes together.
        share: (first, step): of each batch only every `step`-th frame from `first` on. That is what
            one of several processes takes of it.

    Returns:
        Batches on the device, in the order of the index.
    """
    first, step = share
    starts = range(0, len(index), batch_size)
    parts = [index[start : start + batch_size][first::step] for start in starts]

    with ThreadPoolExecutor(1) as reader:
        coming: Future[Any] | None = None
        for part in parts:
            ready, coming = coming, reader.submit(loader.gather, part)
            if ready is not None:
                yield loader.prepare(ready.result())
        if coming is not None:
            yield loader.prepare(coming.result())
