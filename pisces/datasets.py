"""Shards + splits -> batches on the device. Nothing is held in memory: a batch costs the bytes of its frames."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pisces import rendering, shards, signals
from pisces.shards import Cell


class Recordings:
    """Random access to the frames of a directory of shards, in whatever form it holds them.

    A frame is addressed by a row of an index, int64 (n, 3): modulation index, SNR index, row in the shard.
    """

    def __init__(self, root: Path):
        self.root = root
        self.modulations, self.snrs_db = shards.grid(root)
        self._rows = self._every_cell("row")

    def _every_cell(self, dataset: str) -> list[list[np.ndarray]]:
        return [[_mapped(Cell(m, s).path(self.root), dataset) for s in self.snrs_db] for m in self.modulations]

    def every_frame(self) -> np.ndarray:
        """The index (n, 3) of all frames."""
        cells = [[m, s, row] for m, rows in enumerate(self._rows) for s, cell in enumerate(rows) for row in range(len(cell))]
        return np.array(cells, np.int64)

    def identity(self, frame: np.ndarray) -> tuple[str, int, int]:
        """(modulation, SNR in dB, row in the source file) of one frame of an index: what its random choices hang on."""
        m, s, row = frame
        return self.modulations[m], self.snrs_db[s], int(self._rows[m][s][row])

    def gather(self, index: np.ndarray) -> Any:
        """What the shards hold of the frames of an index (n, 3), read on any thread."""
        raise NotImplementedError

    def prepare(self, gathered: Any, device: torch.device) -> torch.Tensor:
        """What `gather` gave, on the device, as `Batch.stored`."""
        raise NotImplementedError

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """The same of frames float32 (n, samples, 2) that are in no shard."""
        raise NotImplementedError


class Constellations(Recordings):
    """The bins of a directory of constellation shards; stored are pixel numbers, counted on through the views, int32 (n, points)."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.render = rendering.settings(root)
        self._bins = [self._every_cell(f"{view}/bins") for view in self.render.views]

    def gather(self, index: np.ndarray) -> list[np.ndarray]:
        """Pixel numbers uint16 (n, points of the view) of the frames of an index (n, 3), a view each."""
        return [_rows(cells, index) for cells in self._bins]

    def prepare(self, gathered: list[np.ndarray], device: torch.device) -> torch.Tensor:
        return rendering.join_views([to_device(one, device) for one in gathered], self.render.size)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return rendering.encode(frames, self.render)

    def bins(self, index: np.ndarray) -> np.ndarray:
        """Pixel numbers, counted on through the views, int32 (n, points), of the frames of an index (n, 3)."""
        return self.prepare(self.gather(index), torch.device("cpu")).numpy()


class Signals(Recordings):
    """The frames of a directory of IQ shards; stored are frames over their RMS, float32 (n, 2, samples)."""

    def __init__(self, root: Path):
        super().__init__(root)
        self._iq = self._every_cell("iq")
        self.samples = self._iq[0][0].shape[1]

    def gather(self, index: np.ndarray) -> np.ndarray:
        """float32 (n, samples, 2), I then Q, as they are in the shards."""
        return _rows(self._iq, index)

    def prepare(self, gathered: np.ndarray, device: torch.device) -> torch.Tensor:
        return self.encode(to_device(gathered, device))

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return signals.normalise(frames)

    def check_rendered_as(self, constellations: Constellations) -> None:
        """Raises ValueError unless the constellations were rendered from these frames."""
        if (self.modulations, self.snrs_db) != (constellations.modulations, constellations.snrs_db):
            raise ValueError(f"{constellations.root} and {self.root} hold other modulations or SNRs; make both again with dvc repro render")
        for m, s in product(constellations.modulations, constellations.snrs_db):
            source, rendered = (Cell(m, s).path(root) for root in (self.root, constellations.root))
            if not np.array_equal(shards.array(source, "row"), shards.array(rendered, "row")):
                raise ValueError(f"{rendered} was not rendered from {source}: their rows differ; make it again with dvc repro render")


def of_input(name: str, constellations: Path, shards: Path, with_frames: bool) -> tuple[Recordings, Signals | None]:
    """What a model of the input `constellation` or `iq` is trained on and, if asked for, the frames behind it.

    Raises:
        ValueError: when the frames are not those that the constellations were rendered from.
    """
    if name == "iq":
        return (data := Signals(shards)), data
    data = Constellations(constellations)
    if not with_frames:
        return data, None
    frames = Signals(shards)
    frames.check_rendered_as(data)
    return data, frames


def _mapped(path: Path, dataset: str) -> np.ndarray:
    """Still a map of the file, but of the plain type, whose rows NumPy gives out several times faster."""
    return np.asarray(shards.array(path, dataset))


def _rows(cells: list[list[np.ndarray]], index: np.ndarray) -> np.ndarray:
    return np.stack([cells[m][s][row] for m, s, row in index.tolist()])


class Batch(NamedTuple):
    """On the device: frames as their recordings store them, and the classes int64 (n,)."""

    stored: torch.Tensor
    modulation: torch.Tensor
    snr: torch.Tensor


class Loader(Protocol):
    """Makes batches in two steps: `gather` reads, on any thread; `prepare` computes, where the model is."""

    def gather(self, index: np.ndarray) -> Any: ...

    def prepare(self, gathered: Any) -> Batch: ...


class Stored:
    """Frames as they are in the shards."""

    def __init__(self, data: Recordings, device: torch.device):
        self.data, self.device = data, device

    def gather(self, index: np.ndarray) -> tuple[Any, np.ndarray]:
        return self.data.gather(index), index[:, :2].copy()

    def prepare(self, gathered: tuple[Any, np.ndarray]) -> Batch:
        frames, targets = gathered
        return Batch(self.data.prepare(frames, self.device), *to_device(targets, self.device).unbind(1))


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """To a CUDA device without waiting for it."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def batches(loader: Loader, index: np.ndarray, batch_size: int, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
    """The frames of `index` in its order, `batch_size` at a time; the next ones are read while a batch is in use.

    Of each batch, only every `share[1]`-th frame from the `share[0]`-th on: what one of several processes takes of it.
    """
    parts = [index[start : start + batch_size][share[0] :: share[1]] for start in range(0, len(index), batch_size)]
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for part in parts:
            coming, ready = reader.submit(loader.gather, part), coming
            if ready is not None:
                yield loader.prepare(ready.result())
        if coming is not None:
            yield loader.prepare(coming.result())
