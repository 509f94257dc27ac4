"""What bfloat16 gains on this processor: training and inference of some models, beside float32.

Both precisions train the same model on the same frames, in turn, with two views of 64 pixels. CPU
seconds of one thread are counted, so that other work on the machine matters less.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time

import torch
from lightning_fabric import Fabric

from benchmarks.timing import interleave, machine_and_date, medians
from benchmarks.training import make_data
from pisces.config.io import load_params
from pisces.data.datasets import StoredFrames, batches
from pisces.models import precision
from pisces.training.frames import TrainingData
from pisces.training.settings import TrainingSettings
from pisces.training.trainer import Trainer

VIEWS, SIZE, BATCH = ("symbol", "noise"), 64, 64
PRECISIONS: tuple[precision.Resolved, ...] = ("32-true", "bf16-mixed")
CPU = torch.device("cpu")


def train(data: TrainingData, model: str, repeats: int) -> dict[str, float]:
    """Frames a second of training in each of `PRECISIONS`.

    Args:
        data: frames to train on.
        model: as `train.model`.
        repeats: rounds of which the median counts.

    Returns:
        Precision -> frames a second.
    """
    config = replace(
        load_params().train.to(TrainingSettings), **{"model": model, "batch_size": BATCH}
    )
    frames = data.parts["train"]

    def passes(name: precision.Resolved) -> Callable[[], object]:
        fabric = Fabric(accelerator="cpu", devices=1, precision=name)
        fabric.launch()
        trainer = Trainer(fabric, data, config, seed=1)
        stored = StoredFrames(data.store, CPU)
        return lambda: trainer.train(batches(stored, frames, BATCH), len(frames))

    calls = {name: passes(name) for name in PRECISIONS}
    seconds = medians(interleave(calls, repeats, process_time))
    return {name: len(frames) / one for name, one in seconds.items()}


def infer(data: TrainingData, model: str, repeats: int) -> tuple[dict[str, float], float]:
    """Frames a second of inference in each of `PRECISIONS`, and how many predictions are the same.

    Args:
        data: frames to predict.
        model: as `train.model`; it is untrained.
        repeats: rounds of which the median counts.

    Returns:
        Precision -> frames a second, and the share 0..1 of modulations that both predict.
    """
    config = replace(load_params().train.to(TrainingSettings), **{"model": model})
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    classifier = Trainer(fabric, data, config, seed=1).model.module.eval()
    first = next(iter(batches(StoredFrames(data.store, CPU), data.parts["train"], BATCH)))
    inputs = data.input.tensors(first.stored)

    @torch.inference_mode()
    def predicted(lower: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            return classifier(inputs)[0].argmax(1)

    calls = {name: partial(predicted, name == "bf16-mixed") for name in PRECISIONS}
    seconds = medians(interleave(calls, repeats, process_time))
    same = (predicted(lower=True) == predicted(lower=False)).float().mean().item()
    return {name: len(inputs) / one for name, one in seconds.items()}, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["pixel_set", "small_cnn", "resnet18"])
    parser.add_argument("--frames", type=int, default=256, help="of a pass, in whole batches")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_and_date()}; bfloat16 in the processor: {precision.cpu_has_bf16()}")
    with tempfile.TemporaryDirectory() as temporary:
        data = make_data(Path(temporary), VIEWS, SIZE, arguments.frames, 0)
        for model in arguments.models:
            trained = train(data, model, arguments.repeats)
            inferred, same = infer(data, model, arguments.repeats)
            print(f"{model}: training {_ratio(trained)}; inference {_ratio(inferred)}")
            print(f"  {100 * same:.1f} % of the predicted modulations are the same")


def _ratio(rates: dict[str, float]) -> str:
    true, lower = (rates[name] for name in PRECISIONS)
    return f"{true:.0f} frames/s, in bfloat16 {lower:.0f}: {lower / true:.2f} times"


if __name__ == "__main__":
    main()
