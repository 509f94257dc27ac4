"""Stored frames + an index -> batches on the device.

Nothing is held in memory, so that a batch costs the bytes of its frames. A GPU alone may keep all
frames of a training, where they take a small part of its memory.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pisces.inputs.base import FrameStore, to_device

RESIDENT_SHARE = 1 / 8
"""Of a GPU's free memory, what frames may take; twice that for a moment while they are read."""
READ_AT_ONCE = 1024  # frames


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


class ResidentFrames:
    """Frames that all lie on the device, where a batch takes its own by their numbers.

    Args:
        streamed: reads them.
        index: of all that will be asked for, (n, 3).
    """

    def __init__(self, streamed: StoredFrames, index: np.ndarray):
        self.store, self.device = streamed.store, streamed.device
        sizes = self.store.sizes
        self._place = np.full((*sizes.shape, sizes.max()), -1, np.int32)
        self._place[tuple(index.T)] = np.arange(len(index))

        steps = batches(streamed, index, READ_AT_ONCE)
        self._frames = Batch(*map(torch.cat, zip(*steps, strict=True)))

    def gather(self, index: np.ndarray) -> np.ndarray:
        """The numbers int32 (n,) of frames among those on the device."""
        return self._place[tuple(index.T)]

    def prepare(self, gathered: np.ndarray) -> Batch:
        numbers = to_device(gathered, self.device)
        return Batch(*(column.index_select(0, numbers) for column in self._frames))


def frames_in_reach(
    store: FrameStore, index: np.ndarray, device: torch.device
) -> StoredFrames | ResidentFrames:
    """Frames that are read again and again: on the device where they fit, or else from the shards.

    Args:
        store: the frames.
        index: of all that will be asked for, (n, 3).
        device: where batches are made.

    Returns:
        What makes batches of them; the batches are the same.
    """
    streamed = StoredFrames(store, device)
    room = RESIDENT_SHARE * free_memory(device)
    if not room:
        return streamed

    a_frame = streamed.prepare(streamed.gather(index[:1])).stored.nbytes
    fits = len(index) * a_frame <= room
    return ResidentFrames(streamed, index) if fits else streamed


def free_memory(device: torch.device) -> int:
    """Free bytes of a CUDA device; 0 for one that shares its memory with the shards in it."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


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
