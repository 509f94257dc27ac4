"""Exported models beside PyTorch: makes the figures of docs/results/onnx.md.

python -m benchmarks.onnx [--model models] [--nets NAME ...] [--frames 1000]

Whole graphs: frames whose predictions and pixels differ, sizes, and frames a second of onnxruntime
and PyTorch on one core, interleaved. Nets alone, untrained: the largest difference of their logits
given equal inputs, and the size; `--nets none` leaves them out.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from benchmarks.timing import interleave, machine_and_date, medians
from pisces import models
from pisces.deploy import answers, onnx_file, verify
from pisces.deploy.graph import Graph, without_echo
from pisces.deploy.nets import real
from pisces.inputs.drawing import Drawing
from pisces.inputs.settings import DrawSettings, Extent, RenderSettings
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture, modelfile
from pisces.models import cldnn as family
from pisces.models.modelfile import TrainedModel
from pisces.sources.settings import MultipathSettings

SAMPLES, BATCHES, ROUNDS = 1024, (1, 16, 256), 9
ECHOES = MultipathSettings(k_factor_db=6.0, paths=2, delay_spread=4.0)
CLDNNS = {
    "cldnn": family.Settings(),
    "cldnn film dual": family.Settings(paths="dual", film=True),
    "cldnn expert v1": family.Settings(expert="v1"),
    "cldnn expert v2": family.Settings(expert="v2", expert_window=5),
    "cldnn cyclo": family.Settings(cyclo=True),
}
IMAGES = (*models.OWN_BACKBONES, *models.BACKBONES)
FRAMES = (*models.BASELINES, *CLDNNS)
RENDER = RenderSettings(
    views=("symbol", "noise"),
    size=64,
    extent=Extent(raw=2.5, symbol=2.0, noise=80.0, differential=2.5),
    sps=8,
    pulse="rml2018",
    rolloff=0.35,
    carrier_offset_std=3.3e-5,
    delay=4,
)
DRAW = DrawSettings("log_histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))


def whole(trained: TrainedModel, frames: int, folder: Path) -> None:
    """Prints how a graph and its ONNX file compare with the model."""
    samples = trained.input.frame_samples or SAMPLES
    for name, model in {"as it is": trained, "--no-echo": without_echo(trained)}.items():
        graph, path = Graph(model, samples).eval(), folder / "model.onnx"
        onnx_file.write(path, model, graph)
        session = onnx_file.session_of(path)
        print(f"\n{name}: {path.stat().st_size / 1e6:.1f} MB")

        for world, multipath in {"generated": None, "with echoes": ECHOES}.items():
            made = verify.generated_frames(model, samples, frames, multipath=multipath)
            found = onnx_file.answers(session, made)
            agreed = verify.agreement(answers.of_model(trained, made), found)
            print(f"{world}: of the whole model's, {agreed.text}; {pixels(model, graph, made)}")
        speed(model, graph, session, made)


def pixels(model: TrainedModel, graph: Graph, frames: np.ndarray) -> str:
    """Share of pixels that PyTorch's graph has elsewhere than the model, in words."""
    if model.input.name == Waveform.name:
        return "no pixels"
    tensor = torch.from_numpy(frames)
    with torch.inference_mode():
        iq, _ = graph.normalised(tensor)
        differ = graph.front.pixels(iq) != model.input.encode(tensor)
    return f"{differ.float().mean():.1e} of the points in other pixels"


def speed(model: TrainedModel, graph: Graph, session: object, frames: np.ndarray) -> None:
    """Prints frames a second of both runtimes for batches of several sizes."""
    for batch in BATCHES:
        some = frames[:batch]
        contestants: dict[str, Callable[[], object]] = {
            "onnxruntime": partial(onnx_file.answers, session, some),
            "PyTorch": partial(answers.of_model, model, some),
            "PyTorch, graph": partial(in_torch, graph, some),
        }
        seconds = medians(interleave(contestants, ROUNDS, time.process_time))
        rates = [f"{name} {batch / spent:.0f}" for name, spent in seconds.items()]
        print(f"frames/s, {batch} at once: {', '.join(rates)}")


@torch.inference_mode()
def in_torch(graph: Graph, frames: np.ndarray) -> object:
    return graph(torch.from_numpy(frames))


def net(name: str, folder: Path) -> None:
    """Prints how the logits of a net compare, given equal inputs."""
    trained = untrained(name)
    start = time.process_time()
    try:
        model = onnx_file.onnx_of(
            real(trained.model), trained.input.shape, ("inputs",), ("modulation", "snr")
        )
    except ValueError as error:
        print(f"| `{name}` | no: {error} | | |", flush=True)
        return
    seconds = time.process_time() - start
    path = folder / "net.onnx"
    onnx.save(model, path)
    session = onnx_file.session_of(path)

    inputs = typical_inputs(trained)
    with torch.inference_mode():
        expected = trained.model(inputs)
    found = onnx_file.answers(session, inputs.numpy()).values()
    worst = max(
        float(np.abs(one - other.numpy()).max()) for one, other in zip(found, expected, strict=True)
    )
    size = path.stat().st_size / 1e6
    print(f"| `{name}` | {worst:.1e} | {size:.1f} | {seconds:.0f} |", flush=True)


def untrained(name: str) -> TrainedModel:
    """A model with random weights, for 17 modulations and 10 SNRs."""
    settings = CLDNNS.get(name)
    if name in FRAMES:
        seen: Waveform | Drawing = Waveform(SAMPLES)
    else:
        patch = models.BACKBONES[name].patch if name in models.BACKBONES else 1
        size = 64 if 64 % patch == 0 else 4 * patch
        seen = Drawing(RenderSettings(**(vars(RENDER) | {"size": size})), DRAW)
    torch.manual_seed(1)
    architecture = Architecture("cldnn" if settings else name, "plain", "standard", settings)
    snrs_db, modulations = tuple(range(-8, 12, 2)), tuple(f"class {k}" for k in range(17))
    model = models.build(architecture, seen.shape, len(modulations), snrs_db).eval()
    return TrainedModel(model, architecture, seen, modulations, snrs_db)


def typical_inputs(trained: TrainedModel) -> torch.Tensor:
    """Of 16 generated frames."""
    frames = torch.from_numpy(verify.generated_frames(trained, SAMPLES, 1)[::16][:16])
    return trained.input.tensors(trained.input.encode(frames)).contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models"))
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--nets", nargs="*", default=[*IMAGES, *FRAMES])
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    print(machine_and_date())
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model.is_dir():
            whole(modelfile.load(arguments.model), arguments.frames, Path(folder))
        print("\n| net | largest difference of logits | MB | seconds to export |")
        print("|---|---|---|---|")
        for name in arguments.nets:
            if name != "none":
                net(name, Path(folder))


if __name__ == "__main__":
    main()
