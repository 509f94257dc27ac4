"""What every kind of input does: the protocol between stored frames, models and masks.

Frames of a data set are addressed by an index, int64 (n, 3): modulation index, SNR index, row in the shard.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs.settings import DrawSettings

CONSTELLATIONS, IQ_SHARDS = "constellations", "split_hdf5"
"""Folders of a data set, below its root."""


class FrameStore:
    """Random access to the frames of a directory of shards, in whatever form it holds them."""

    def __init__(self, root: Path):
        self.root = root
        self.modulations, self.snrs_db = shards.grid(root)
        self._rows = self._every_cell("row")

    def _every_cell(self, dataset: str) -> list[list[np.ndarray]]:
        """Memory maps of a dataset, [modulation][SNR]."""
        return [
            [_mapped(Cell(modulation, snr_db).path(self.root), dataset) for snr_db in self.snrs_db]
            for modulation in self.modulations
        ]

    def every_frame(self) -> np.ndarray:
        """The index (n, 3) of all frames."""
        cells = [
            [m, s, row]
            for m, rows in enumerate(self._rows)
            for s, cell in enumerate(rows)
            for row in range(len(cell))
        ]
        return np.array(cells, np.int64)

    def identity(self, frame: np.ndarray) -> tuple[str, int, int]:
        """(modulation, SNR in dB, row in the source file) of one frame of an index: what its random choices hang on."""
        m, s, row = frame
        return self.modulations[m], self.snrs_db[s], int(self._rows[m][s][row])

    @property
    def properties(self) -> dict[str, Any]:
        """What an input must agree with to take these frames: name -> value, as in `Input.requirements`."""
        raise NotImplementedError

    def gather(self, index: np.ndarray) -> Any:
        """What the shards hold of the frames of an index (n, 3), read on any thread."""
        raise NotImplementedError

    def prepare(self, gathered: Any, device: torch.device) -> torch.Tensor:
        """What `gather` gave, as one tensor (n, ...) on the device: the stored form of frames."""
        raise NotImplementedError

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """The stored form of frames float32 (n, samples, 2) that are in no shard."""
        raise NotImplementedError


class Probe(Protocol):
    """Frames about which a model is asked with chosen pixels of their constellations masked."""

    counts: torch.Tensor
    """Points in each pixel of all views, float32 (n, pixels)."""

    def without(
        self, frames: Sequence[int], pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        """Model inputs (len(frames), ...) for the frames of these numbers; pixel lists as in `pixels.mask_pixels`."""
        ...

    @property
    def images(self) -> torch.Tensor:
        """What an attribution explains, float32 (n, channels, size, size)."""
        ...

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        """What `Input.from_images` needs beside the images, tensors of n rows each."""
        ...


class Prober(Protocol):
    """The frames of a data set, for probes."""

    store: FrameStore
    """What a model is trained on."""
    note: str
    """What happens where a pixel is masked, in words for a caption; empty where it simply goes dark."""

    def probe(self, index: np.ndarray, device: torch.device) -> Probe:
        """The frames of an index (n, 3)."""
        ...


class Input(Protocol):
    """What a model looks at, with all settings that say how it is made from frames."""

    name: ClassVar[str]
    """Its key in `INPUTS`."""
    sees_images: ClassVar[bool]
    """Whether the model is given the picture itself, so that layers may be maps of it and dark pixels speak, too."""

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:
        """The input for the data set below `data`; `draw` is for inputs that are drawn."""
        ...

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """The input that `card` described; raises KeyError, TypeError or ValueError when it is none."""
        ...

    def card(self) -> dict[str, Any]:
        """What the model file must say to make this input again, as plain JSON."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example, the batch left out."""
        ...

    @property
    def requirements(self) -> dict[str, Any]:
        """What frames must agree with: name -> value, as in `FrameStore.properties`."""
        ...

    def open(self, data: Path) -> FrameStore:
        """The frames of the data set below `data` in the form that this input takes."""
        ...

    def prober(self, data: Path, fill: str, seed: int) -> Prober:
        """The same frames for probes; `fill` and `seed` say what takes the place of samples behind masked pixels."""
        ...

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """The stored form of frames float32 (n, samples, 2) from anywhere."""
        ...

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        """Model inputs (n, *shape) of the stored form of frames."""
        ...

    def from_images(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Model inputs of images that an attribution has altered, with the context of their probe."""
        ...


def check_same_frames(constellations: FrameStore, iq: FrameStore) -> None:
    """Raises ValueError unless the constellations were rendered from these IQ frames."""
    if (iq.modulations, iq.snrs_db) != (constellations.modulations, constellations.snrs_db):
        raise ValueError(
            f"{constellations.root} and {iq.root} hold other modulations or SNRs; make both again with dvc repro render"
        )
    for modulation in constellations.modulations:
        for snr_db in constellations.snrs_db:
            cell = Cell(modulation, snr_db)
            source, rendered = cell.path(iq.root), cell.path(constellations.root)
            if not np.array_equal(shards.array(source, "row"), shards.array(rendered, "row")):
                raise ValueError(
                    f"{rendered} was not rendered from {source}: their rows differ; make it again with dvc repro render"
                )


def rows_of(cells: list[list[np.ndarray]], index: np.ndarray) -> np.ndarray:
    """Rows (n, ...) of the frames of an index (n, 3), from arrays [modulation][SNR]."""
    return np.stack([cells[m][s][row] for m, s, row in index.tolist()])


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """To a CUDA device without waiting for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _mapped(path: Path, dataset: str) -> np.ndarray:
    """Still a map of the file, but of the plain type, whose rows NumPy gives out several times faster."""
    return np.asarray(shards.array(path, dataset))
