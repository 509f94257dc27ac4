"""What the input path takes of a training step; with --png, how it fares against a plain loop over
PNGs; with --iq, of models of raw IQ.

Every contestant trains the same model by `Trainer.train`, as `fit` does, in the same precision:
`read` on batches from shards, `resident` on images or frames that already lie on the device, and
`png` on what a DataLoader makes of a file a frame.
"""

import argparse
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_tensor

from benchmarks.frames import make_frames, make_shards
from benchmarks.timing import interleave, machine_and_date, medians
from pisces.config.io import load_params
from pisces.core import shards
from pisces.core.shards import Cell
from pisces.data.datasets import Batch, batches
from pisces.inputs import export, rendering
from pisces.inputs.base import FrameStore
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.settings import DrawSettings, RenderSettings
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models.cldnn import Settings
from pisces.training import devices
from pisces.training.augmentation import Augmentation
from pisces.training.frames import TrainingData, frames_of_epoch
from pisces.training.settings import NoiseAwareSettings, TrainingSettings
from pisces.training.trainer import Trainer

CELLS = [
    Cell(modulation, snr_db)
    for modulation in ("BPSK", "QPSK", "64QAM", "128APSK")
    for snr_db in (0, 10, 20, 30)
]
PNG_MODELS, PNG_SIZE, PNG_FRAMES_ON_A_CPU = ("resnet18", "resnet50", "swin_tiny"), 224, 64
IQ_MODELS, IQ_SAMPLES = ("cldnn", "mcldnn"), (128, 1024)
RESIDENT = (
    8  # batches of ready images, taken in turn, so that any number of frames fits on the device
)


class Ready(NamedTuple):
    """Takes images or frames of this shape for what is stored, and leaves them as they are."""

    shape: tuple[int, ...]

    def tensors(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def collate(frames: list[tuple[Path, int, int]]) -> list[torch.Tensor]:
    """Files and classes -> grey images (n, 1, size, size) from 0 to 1, modulations and SNRs; run by
    the workers of a DataLoader.
    """
    paths, *classes = zip(*frames, strict=True)
    return [
        torch.stack([to_tensor(Image.open(path)) for path in paths]),
        *map(torch.tensor, classes),
    ]


def png_loader(data: TrainingData, folder: Path, **settings: Any) -> DataLoader:
    """Of the training frames, a file each."""
    export.export_png(data.store.root, folder, data.input, None)
    cells = [
        [folder / modulation / f"SNR_{snr_db}" for snr_db in data.store.snrs_db]
        for modulation in data.store.modulations
    ]
    frames = [(cells[m][s] / f"{row:05d}.png", m, s) for m, s, row in data.parts["train"].tolist()]
    return DataLoader(frames, collate_fn=collate, persistent_workers=True, **settings)


def make_data(
    root: Path, views: tuple[str, ...], size: int, train: int, validation: int
) -> TrainingData:
    """Synthetic frames of `CELLS`, shuffled and rendered.

    All settings but views and size are those of params.yaml.

    Args:
        root: Folder for the shards.
        views: Channels of the image.
        size: Pixels along an edge of the image.
        train: How many frames to train on.
        validation: How many others to validate.

    Returns:
        The data of a model of constellations, without augmentation.
    """
    params = load_params()
    make_shards(root / "iq", CELLS, _per_cell(train + validation))
    rendering.render(
        root / "iq",
        root / "constellations",
        replace(params.render.to(RenderSettings), views=views, size=size),
    )
    data = BinStore(root / "constellations")
    return TrainingData(
        data,
        None,
        _parts(data, train, validation),
        Drawing(data.render, params.draw.to(DrawSettings)),
        Augmentation(),
    )


def make_iq_data(root: Path, samples: int, train: int) -> TrainingData:
    """Synthetic frames of `CELLS`, shuffled, as they are.

    A `cldnn` is that of params.yaml, in the last phase of its training, which is the longest.

    Args:
        root: Folder for the shards.
        samples: Length of a frame, at most that of `benchmarks.frames`.
        train: How many frames to train on.

    Returns:
        The data of a model of raw frames, with no frame to validate and without augmentation.
    """
    for cell in CELLS:
        iq = make_frames(cell, _per_cell(train))[:, :samples]
        shards.save(cell.path(root), {"iq": iq, "row": np.arange(len(iq))}, cell._asdict())
    params, data = load_params(), IqStore(root)
    noise_aware = params.noise_aware.to(NoiseAwareSettings)
    phases = {name: replace(getattr(noise_aware, name), epochs=0) for name in ("a", "b1", "b2")}
    noise_aware = replace(noise_aware, **phases)
    cldnn = Settings(**params.cldnn.model_dump())
    return TrainingData(
        data, data, _parts(data, train, 0), Waveform(samples), Augmentation(), cldnn, noise_aware
    )


def _per_cell(frames: int) -> int:
    return math.ceil(frames / len(CELLS))


def _parts(data: FrameStore, train: int, validation: int) -> dict[str, np.ndarray]:
    index = np.random.default_rng(1).permutation(data.every_frame())
    return {"train": index[:train], "validation": index[train : train + validation]}


def rates(
    data: TrainingData,
    model: str,
    batch_size: int,
    fabric: Fabric,
    pngs: DataLoader | None,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Speeds of a training that differs in nothing but where its frames come from.

    Args:
        data: Frames to train on.
        model: Architecture, of those for this kind of input.
        batch_size: Frames a step.
        fabric: Device and precision.
        pngs: The same frames as PNG files, or None.
        repeats: Rounds of which the median counts.
        clock: Of which seconds.

    Returns:
        Frames a second of `read` (from shards), `resident` (from memory), the `input` path by
        itself and, with `pngs`, `png`.
    """
    config = replace(
        load_params().train.to(TrainingSettings), **{"model": model, "batch_size": batch_size}
    )
    frames = len(data.parts["train"])
    reader = Trainer(fabric, data, config, seed=1)
    taker = Trainer(fabric, data._replace(input=Ready(data.input.shape)), config, seed=1)

    loader, order = frames_of_epoch(data, config, 1, 1, reader.stored)

    def read() -> Iterator[Batch]:
        return batches(loader, order, batch_size)

    ready = [
        batch._replace(stored=data.input.tensors(batch.stored))
        for batch in itertools.islice(read(), RESIDENT)
    ]

    def feed() -> None:
        for batch in read():
            last = data.input.tensors(batch.stored)
        last.flatten()[0].item()  # waits for a GPU

    contestants = {
        "input": feed,
        "read": lambda: reader.train(read(), frames),
        "resident": lambda: taker.train(
            itertools.islice(itertools.cycle(ready), frames // batch_size), frames
        ),
    }
    if pngs:
        contestants["png"] = lambda: taker.train(
            (Batch(*(c.to(fabric.device, non_blocking=True) for c in one)) for one in pngs),
            frames,
        )
    return {
        name: frames / seconds
        for name, seconds in medians(interleave(contestants, repeats, clock)).items()
    }


def report(what: str, rate: dict[str, float]) -> dict[str, float]:
    """Prints the rates, and the share of the input path, and hands them back."""
    print(f"{what}: " + ", ".join(f"{name} {one:.1f} frames/s" for name, one in rate.items()))
    difference, alone = 1 - rate["read"] / rate["resident"], rate["resident"] / rate["input"]
    print(
        f"input path = {100 * difference:.1f} % of a step (at most 5); "
        f"by itself, where nothing overlaps, {100 * alone:.2g} %"
    )
    return rate


def time_iq(frames: int, batch_size: int, fabric: Fabric, repeats: int) -> None:
    """Prints the rates of `IQ_MODELS` on frames of each of `IQ_SAMPLES`.

    Args:
        frames: How many to train on.
        batch_size: Frames a step.
        fabric: Device and precision.
        repeats: Rounds of which the median counts.
    """
    for samples in IQ_SAMPLES:
        with tempfile.TemporaryDirectory() as temporary:
            data = make_iq_data(Path(temporary), samples, frames)
            for model in IQ_MODELS:
                report(
                    f"{model}, {samples} samples",
                    rates(data, model, batch_size, fabric, None, repeats),
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--views", nargs="+", default=["raw", "symbol", "noise", "differential"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--frames", type=int, default=512, help="of a pass, in whole batches; a GPU wants thousands"
    )
    parser.add_argument("--accelerator", default="auto", help="as train.accelerator")
    parser.add_argument("--precision", default="auto", help="as train.precision")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--cpu-seconds", action="store_true", help="of one thread, in place of time on the wall"
    )
    parser.add_argument(
        "--png",
        action="store_true",
        help=f"{', '.join(PNG_MODELS)} at {PNG_SIZE} px, view raw; for a GPU",
    )
    parser.add_argument(
        "--iq",
        action="store_true",
        help=f"{', '.join(IQ_MODELS)} on frames of {', '.join(map(str, IQ_SAMPLES))} samples",
    )
    parser.add_argument("--workers", type=int, default=12, help="processes of the loop over PNGs")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    if arguments.cpu_seconds:
        torch.set_num_threads(1)
    frames = max(arguments.frames // arguments.batch_size, 1) * arguments.batch_size
    trained = PNG_MODELS[0] if arguments.png else "" if arguments.iq else arguments.model
    fabric = devices.make_fabric(arguments.accelerator, arguments.precision, trained)
    if arguments.png and fabric.device.type == "cpu" and frames > PNG_FRAMES_ON_A_CPU:
        parser.error(
            "--png is meant for a GPU; "
            f"on a CPU it takes at most --frames {PNG_FRAMES_ON_A_CPU}, which are minutes"
        )
    models, views, size = (
        (PNG_MODELS, ["raw"], PNG_SIZE)
        if arguments.png
        else ([arguments.model], arguments.views, arguments.size)
    )
    device = torch.cuda.get_device_name() if fabric.device.type == "cuda" else fabric.device.type
    print(f"{machine_and_date()}, on {device}, {fabric.strategy.precision.precision}")
    if arguments.iq:
        print(f"{frames} frames of raw IQ a pass, {arguments.batch_size} a step")
        return time_iq(frames, arguments.batch_size, fabric, arguments.repeats)
    print(
        f"{frames} frames a pass of {len(views)} x {size} x {size} px, "
        f"{arguments.batch_size} a step"
    )
    with tempfile.TemporaryDirectory() as temporary:
        root, pngs = Path(temporary), None
        data = make_data(root, tuple(views), size, frames, 0)
        if arguments.png:
            on_gpu = fabric.device.type == "cuda"
            pngs = png_loader(
                data,
                root / "png",
                batch_size=arguments.batch_size,
                num_workers=arguments.workers,
                pin_memory=on_gpu,
            )
        for model in models:
            rate = report(
                model,
                rates(data, model, arguments.batch_size, fabric, pngs, arguments.repeats, clock),
            )
            if pngs:
                ratio = rate["read"] / rate["png"]
                print(f"read / png = {ratio:.2f} with {arguments.workers} workers")


if __name__ == "__main__":
    main()
