"""What every kind of input does: the protocol between stored frames, models and masks.

A kind of input is three classes: the `Input` itself, the `FrameStore` that it opens, and a
`Prober`, whose `Probe`s show the model frames with chosen pixels of their constellations masked.

Frames of a data set are addressed by an index, int64 (n, 3): modulation index, SNR index, row in
the shard.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.core.snr_label import true_snr_db
from pisces.inputs.settings import DrawSettings, RenderSettings

CONSTELLATIONS, IQ_SHARDS = "constellations", "split_hdf5"
"""Folders of constellation shards and of IQ shards, below the root of a data set."""


class FrameStore(ABC):
    """Random access to the frames of a directory of shards, in whatever form it holds them."""

    def __init__(self, root: Path):
        self.root = root
        self.modulations, self.snrs_db = shards.grid(root)
        self.snr_label = shards.snr_label(root)
        self._rows = self._every_cell("row")

    @property
    def true_snrs_db(self) -> tuple[int, ...]:
        """The SNRs in dB that the labels `snrs_db` stand for."""
        return tuple(true_snr_db(label, self.snr_label) for label in self.snrs_db)

    @property
    def sizes(self) -> np.ndarray:
        """Frames of each cell, int64 (modulations, SNRs)."""
        return np.array([[len(rows) for rows in by_snr] for by_snr in self._rows])

    def _every_cell(self, dataset: str) -> list[list[np.ndarray]]:
        """Memory maps of a dataset, [modulation][SNR]."""
        return [
            [_mapped(Cell(modulation, snr_db).path(self.root), dataset) for snr_db in self.snrs_db]
            for modulation in self.modulations
        ]

    def every_frame(self) -> np.ndarray:
        """The index (n, 3) of all frames."""
        cells = []
        for m, by_snr in enumerate(self._rows):
            for s, rows in enumerate(by_snr):
                n = len(rows)
                cells.append(np.column_stack([np.full(n, m), np.full(n, s), np.arange(n)]))
        return np.concatenate(cells)

    def identity(self, frame: np.ndarray) -> tuple[str, int, int]:
        """Which frame it is, for the seeds of its random choices.

        One row (3,) of an index -> modulation, SNR in dB, row in the source file.
        """
        (identity,) = self.identities(np.asarray(frame)[None])
        return identity

    def identities(self, index: np.ndarray) -> list[tuple[str, int, int]]:
        """As `identity`, of all frames of an index (n, 3)."""
        return [
            (self.modulations[m], self.snrs_db[s], int(self._rows[m][s][row]))
            for m, s, row in index.tolist()
        ]

    @property
    def receiver(self) -> RenderSettings | None:
        """How symbols and noise of these frames are found; None where no view shows both."""
        return None

    @property
    @abstractmethod
    def properties(self) -> dict[str, Any]:
        """What an input must agree with to take these frames: see `Input.requirements`."""

    @abstractmethod
    def gather(self, index: np.ndarray) -> Any:
        """What the shards hold of the frames of an index (n, 3), read on any thread."""

    @abstractmethod
    def prepare(self, gathered: Any, device: torch.device) -> torch.Tensor:
        """The stored form of frames: what `gather` gave, as one tensor (n, ...) on the device."""

    @abstractmethod
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """The stored form of frames float32 (n, samples, 2) that are in no shard."""


class Probe(Protocol):
    """Some frames, for predictions with chosen pixels of their constellations masked."""

    counts: torch.Tensor
    """Points in each pixel of all views, float32 (n, pixels)."""

    def without(
        self, frames: Sequence[int] | np.ndarray, pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        """Model inputs of frames with some pixels masked, made without waiting for the device.

        Args:
            frames: numbers of frames in the probe, 0 the first; one may come several times.
            pixels: pixel numbers of all frames, one list after the other.
            offsets: int (len(frames) + 1,): the list of frame i is
                `pixels[offsets[i]:offsets[i + 1]]`.

        Returns:
            Inputs (len(frames), *shape).
        """
        ...

    @property
    def images(self) -> torch.Tensor:
        """The images that an attribution explains, float32 (n, channels, size, size)."""
        ...

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        """What `Input.from_images` needs beside the images, tensors of n rows each."""
        ...


class Prober(Protocol):
    """Makes probes of the frames of a data set."""

    store: FrameStore
    """The same frames as a model is trained on."""
    note: str
    """What masking a pixel does, in words for a caption; empty where it simply goes dark."""

    def probe(self, index: np.ndarray, device: torch.device) -> Probe:
        """A probe of the frames of an index (n, 3)."""
        ...


class Input(Protocol):
    """What a model is given of a frame, with all settings that say how it is made.

    The implementations are frozen dataclasses, one a module, and named in `inputs.INPUTS`. Nothing
    outside `pisces.inputs` asks which of them it holds.
    """

    name: ClassVar[str]
    """Its key in `INPUTS`, and the `kind` of its card."""
    spatial: ClassVar[bool]
    """Whether the model is given the constellation as an image.

    Its layers may then be maps of the constellation, and a dark pixel is something that it is
    shown.
    """

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:
        """The input for the data set below `data`; `draw` is for inputs that are drawn."""
        ...

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """The input that `card` described.

        Raises:
            ValueError: naming each key of a card that describes none of this kind.
        """
        ...

    def card(self) -> dict[str, Any]:
        """What the model file must say to make this input again, as plain JSON.

        `kind` is the `name` of the input, by which the class that reads the rest is found.
        """
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example, the batch left out: images (channels, size, size) or (2, samples)."""
        ...

    @property
    def frame_samples(self) -> int | None:
        """Samples of a frame; None where a card written before it was kept does not say."""
        ...

    @property
    def symbol_samples(self) -> int | None:
        """Samples of a symbol; None where it is not known."""
        ...

    @property
    def requirements(self) -> dict[str, Any]:
        """What frames must agree with: name -> value, as in `FrameStore.properties`."""
        ...

    def received_by(self, response: tuple[float, ...]) -> Self:  # noqa: ARG002
        """The same input for frames of another pulse; an input that receives none stays itself.

        `response` is the amplitude response of the pulse at `receiver.pulse.RATES`.
        """
        return self

    @property
    def receiver(self) -> RenderSettings | None:
        """As `FrameStore.receiver`, of the frames that the model was trained on."""
        return None

    def remarks(self, store: FrameStore) -> list[str]:  # noqa: ARG002
        """In what frames that a model can take differ from those that it was trained on."""
        return []

    def open(self, data: Path) -> FrameStore:
        """The frames of the data set below `data`, in the form that this input takes."""
        ...

    def prober(self, data: Path, fill: str, seed: int) -> Prober:
        """The frames of the data set below `data`, for probes.

        Args:
            data: root of the data set, which must hold constellations.
            fill: what takes the place of samples behind masked pixels, a key of `waveform.FILLS`.
            seed: of random fills.

        Returns:
            A prober of the same frames as `open` gives.

        Raises:
            ValueError: when the constellations were not rendered from the frames.
        """
        ...

    @property
    def pictures(self) -> tuple[tuple[str, ...], int]:
        """Views that the model is shown as pictures, and the pixels along each side of them."""
        return (), 0

    def probe_of(self, stored: torch.Tensor) -> Probe:  # noqa: ARG002
        """A probe of frames from anywhere, in their stored form.

        Raises:
            ValueError: for an input without pixels to mask.
        """
        raise ValueError(
            f"a model of train.input = {self.name} is shown no pixels that could be masked; "
            "explain one of train.input = constellation"
        )

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """The stored form of frames float32 (n, samples, 2) from anywhere, I then Q.

        Raises:
            ValueError: for frames that this input cannot take.
        """
        ...

    def turned(
        self,
        stored: torch.Tensor,  # noqa: ARG002
        quarter_turns: torch.Tensor,  # noqa: ARG002
        mirrored: torch.Tensor,  # noqa: ARG002
    ) -> torch.Tensor:
        """The stored form of the same frames, conjugated or not and then times j^quarter_turns.

        An input that knows no such thing inherits the refusal.

        Args:
            stored: of n frames.
            quarter_turns: int64 (n,), 0 to 3.
            mirrored: bool (n,).

        Returns:
            Of the same shape and type.
        """
        raise ValueError(
            f"augment.symmetry = true turns and mirrors frames, which train.input = {self.name} "
            "cannot do; set it to false"
        )

    @property
    def maskable(self) -> tuple[int, int]:
        """Of what a random mask takes a share: how many groups, and how many parts each has.

        Such as the pixels of each view, or the samples of the frame. An input that knows no such
        thing inherits the refusal.
        """
        raise ValueError(
            "explain.mask_tuning.epochs asks for masks at random, of which "
            f"train.input = {self.name} knows none; set it to 0"
        )

    def emptied(self, stored: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """The stored form of the same frames without some of their parts.

        Args:
            stored: of n frames.
            taken: which parts are taken, group by group as `maskable` counts them, bool (n, parts).

        Returns:
            Of the same shape and type.
        """
        raise NotImplementedError(f"{self.name} has nothing that is {self.maskable}")

    @property
    def reads_samples(self) -> bool:
        """Whether the model is given samples, so that what changes in a view must change them."""
        return False

    def changed(self, bins: Mapping[str, torch.Tensor], iq: torch.Tensor | None) -> torch.Tensor:
        """The stored form of frames that were changed both in their views and in their samples.

        Args:
            bins: view -> pixel of each point, uint16 (n, points of the view).
            iq: float32 (n, samples, 2), I then Q; None for an input that reads no samples.
        """
        ...

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        """Model inputs (n, *shape) of the stored form of frames."""
        ...

    def from_images(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Model inputs (n, *shape) of images that an attribution has altered; differentiable.

        `images` (n, channels, size, size) and `context` come from a `Probe`.
        """
        ...


def check_same_frames(constellations: FrameStore, iq: FrameStore) -> None:
    """Raises ValueError unless the constellations were rendered from these IQ frames."""
    if (iq.modulations, iq.snrs_db) != (constellations.modulations, constellations.snrs_db):
        raise ValueError(
            f"{constellations.root} and {iq.root} hold other modulations or SNRs; "
            "make both again with dvc repro render"
        )
    for modulation in constellations.modulations:
        for snr_db in constellations.snrs_db:
            cell = Cell(modulation, snr_db)
            source, rendered = cell.path(iq.root), cell.path(constellations.root)
            if not np.array_equal(shards.array(source, "row"), shards.array(rendered, "row")):
                raise ValueError(
                    f"{rendered} was not rendered from {source}: their rows differ; "
                    "make it again with dvc repro render"
                )


def check_samples(frames: torch.Tensor, samples: int | None) -> None:
    """Raises ValueError unless frames are (n, samples, 2), of so many samples where that is known.

    A frame of another length has another noise floor in every view: it would be answered wrongly.
    """
    if samples and frames.shape[1:] != (samples, 2):
        raise ValueError(
            f"the model takes frames of shape (n, {samples}, 2), I then Q, "
            f"not {tuple(frames.shape)}; cut them to that length, and move the axis of I and Q "
            "to the end"
        )


def rows_of(cells: list[list[np.ndarray]], index: np.ndarray) -> np.ndarray:
    """Rows (n, ...) of the frames of an index (n, 3), from arrays [modulation][SNR]."""
    return np.stack([cells[m][s][row] for m, s, row in index.tolist()])


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array as a tensor on the device; to a CUDA device without waiting for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _mapped(path: Path, dataset: str) -> np.ndarray:
    """A memory map of a dataset as a plain array, whose rows NumPy reads faster."""
    return np.asarray(shards.array(path, dataset))
