"""All masks and controls of the PIS table against as many plain forward passes over images that are already drawn."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.frames import make_shards
from benchmarks.timing import interleave, machine, medians
from pisces import models, perturbation, pis, rendering
from pisces.datasets import Constellations
from pisces.params import Draw, Extent, Render
from pisces.rendering import Drawing
from pisces.shards import Cell

SIZE = 48
RAW = Render(views=("raw",), size=SIZE, extent=Extent(raw=2.5, symbol=2.0, noise=80.0, differential=2.5), sps=8, rolloff=0.35, delay=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64, help="frames a cell, of 4 cells")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cells = [Cell(m, s) for m in ("QPSK", "64QAM") for s in (0, 20)]
    masks = perturbation.masks(RAW.views, ("exact", "percentile"), ("top", "bottom", "random"), (1, 2, 3, 4, 5))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_shards(root / "iq", cells, arguments.frames)
        rendering.render(root / "iq", root / "constellations", RAW)
        data = Constellations(root / "constellations")
        grid = [(m, s, row) for m in range(2) for s in range(2) for row in range(arguments.frames)]
        index = np.array(grid)
        perturbation.perturb(data, index, masks, 1, root / "perturbations.h5")
        perturbations = perturbation.Perturbations(root / "perturbations.h5")
        drawing = Drawing(RAW, Draw(method="log_histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0)))
        model = models.build("resnet18", 1, 17, 7).eval().to(device, memory_format=torch.channels_last)
        images = drawing(drawing.count(torch.from_numpy(data.bins(index)).to(device)))
        images = images.contiguous(memory_format=torch.channels_last)
        passes = 1 + len(masks) * len(perturbation.KINDS)

        @torch.inference_mode()
        def plain() -> None:
            for _ in range(passes):
                for chunk in images.split(pis.BATCH):
                    model(chunk)[0].argmax(1).cpu()

        contestants = {"pis": lambda: pis.measure(model, drawing, data, perturbations, device), "plain": plain}
        seconds = medians(interleave(contestants, arguments.repeats))
    print(machine(), "on", device)
    print(
        f"{passes} passes over {len(index)} frames of {SIZE} px: pis {seconds['pis']:.2f} s, forward passes alone {seconds['plain']:.2f} s"
    )
    print(f"pis / forward passes = {seconds['pis'] / seconds['plain']:.2f} (at most 1.2)")


if __name__ == "__main__":
    main()
