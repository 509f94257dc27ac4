"""Which methods find the true evidence: fills docs/results/explanations.md.

    python -m benchmarks.judge [--snrs 0 6 10 16] [--frames 5] [--repeats 3]
    python -m benchmarks.judge --snrs 10 --draws 4 --methods shapley rise
    python -m benchmarks.judge --seed 2

Frames of root-raised cosines are made in memory, of the digital classes that one sample a symbol
shows. The exact classifier is explained by every method, its prediction against its runner-up, and
each map is ranked against the evidence of the symbols. SNRs are over the whole band; a symbol of 8
samples has 9 dB more. With `--methods` or another `--seed` of the frames the table is printed and
the page stays as it is.
"""

import argparse
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.frames import PHYSICS, TEXTBOOK_RENDER
from benchmarks.pages import table, write_between
from benchmarks.timing import interleave, machine_and_date, medians
from pisces import models
from pisces.attribution import judged, methods
from pisces.attribution.head import DifferenceHead, Head
from pisces.attribution.judged import CEILING, Truth
from pisces.attribution.methods import Method
from pisces.core.modulations import DIGITAL
from pisces.evaluation import references
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel
from pisces.sources.synthesis import synthesize_cell
from pisces.truth.classifier import Sending, exact_model
from pisces.truth.law import SymbolLaw

PAGE = Path("docs/results/explanations.md")
FOUND = ("<!-- judged -->\n", "<!-- end of judged -->\n")
SPEED = ("<!-- speed -->\n", "<!-- end of speed -->\n")

CLASSES = references.recognisable(DIGITAL)
ROLLOFF = 0.35
RRC = replace(PHYSICS, rolloff=(ROLLOFF, ROLLOFF))
RENDER = replace(TEXTBOOK_RENDER, views=("symbol",), rolloff=ROLLOFF)
SIZES = (32, 64, 128)
"""Pixels along each side, of the ceilings."""
MASKS, ORDERS = 256, 16
"""Of RISE, and of Shapley values."""
RESAMPLES, SEED = 2000, 1
TIMED_FRAMES = 4
QUANTUS = {"gradient": "InputXGradient", "integrated_gradients": "IntegratedGradients"}
"""Method -> the one of Quantus that does the same, of 10 steps where it takes steps. Its Occlusion
has another stride, its FeatureAblation takes dark pixels too."""


def contestants(draws: int) -> tuple[Method, ...]:
    """The methods that are judged, with so many times `MASKS` and `ORDERS`."""
    return (
        methods.Gradient(),
        methods.LeaveOneOut(),
        methods.IntegratedGradients(steps=16),
        methods.Shapley(permutations=draws * ORDERS, seed=SEED),
        methods.Rise(masks=draws * MASKS, cells=16, keep=0.5, seed=SEED),
        methods.Occlusion(window=1 / 8, stride=1 / 16),
        methods.Brightness(),
        methods.RandomBaseline(seed=SEED),
    )


class World(NamedTuple):
    """Frames of one SNR, with what an exact classifier knows of them."""

    iq: torch.Tensor
    """float32 (n, samples, 2)."""
    model: TrainedModel
    law: SymbolLaw
    snr_db: torch.Tensor
    """Over the whole band, float32 (n,)."""


def make_world(snr_db: int, frames: int, seed: int) -> World:
    """Frames of every class at one SNR over the whole band.

    Args:
        snr_db: over the whole band.
        frames: of each class.
        seed: of the frames.

    Returns:
        The frames, and the exact classifier of them.
    """
    iq = np.concatenate(
        [synthesize_cell(m, snr_db, range(frames), RRC, seed=seed) for m in CLASSES]
    )
    of_symbol = RRC.sps * 10 ** (snr_db / 10)
    real = torch.view_as_real(torch.from_numpy(iq))
    symbols = judged.place(real[:1], RENDER).points.shape[1]
    model = exact_model(Sending(CLASSES, {snr_db: of_symbol}, symbols), RENDER)
    snrs = torch.full((len(iq),), float(snr_db))
    return World(real, model, SymbolLaw(CLASSES, of_symbol), snrs)


def judge(snr_db: int, frames: int, chosen: Sequence[Method], seed: int) -> pd.DataFrame:
    """The agreement of methods with the evidence, frame by frame: rows as of `judged.summary`.

    Args:
        snr_db: over the whole band.
        frames: of each class.
        chosen: the methods.
        seed: of the frames.

    Returns:
        Rows of `snr_db, method, ranked, rho`, with the ceilings of `SIZES`.
    """
    world = make_world(snr_db, frames, seed)
    drawing = world.model.input
    images = drawing.tensors(drawing.encode(world.iq))
    with torch.no_grad():
        logits, _ = world.model.model(images, world.snr_db)
    duel = judged.duel_of(logits)

    rho: dict[str, np.ndarray] = {}
    truths: dict[int, Truth] = {}
    phases = judged.phases_of(judged.place(world.iq, RENDER).points, world.law, duel)
    for size in SIZES:
        render = replace(RENDER, size=size)
        received = judged.place(world.iq, render)
        truths[size] = judged.truth_of(received, world.law, duel, phases, render)
        rho[f"{CEILING}, {size} px"] = judged.ceiling(truths[size])

    truth, counts = truths[RENDER.size], images.flatten(1).numpy()
    head = DifferenceHead(world.model.model, "modulation")
    for method in chosen:
        maps = judged.scores_of(method, head, images, duel, (world.snr_db,))
        rho[method.name] = judged.agreements(method, maps, 0, counts, truth)

    frames_of = [
        pd.DataFrame({"method": name, "ranked": truth.ranked, "rho": values})
        for name, values in rho.items()
    ]
    return pd.concat(frames_of, ignore_index=True).assign(snr_db=snr_db)


def rows_of(summary: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each method, a column for each SNR."""
    rows = []
    for method, of_method in summary.groupby("method", sort=False):
        row = {"agreement with the evidence": str(method).replace("_", " ")}
        for one in of_method.itertuples():
            row[f"{one.snr_db} dB"] = f"{one.mean:.2f} ({one.ci_low:.2f} to {one.ci_high:.2f})"
        rows.append(row)
    first = summary.drop_duplicates("snr_db")
    counted = {"agreement with the evidence": "frames ranked / left out"}
    for one in first.itertuples():
        counted[f"{one.snr_db} dB"] = f"{one.frames} / {one.left_out}"
    return [*rows, counted]


# Batches against a loop over items

Maps = Callable[[], torch.Tensor]


def speeds(frames: int, repeats: int) -> list[dict[str, str]]:
    """Frames a second of our methods, and of captum's and Quantus' called item by item.

    The model is a `pixel_set`. Quantus is none of our dependencies: without it a dash stands there.

    Args:
        frames: in a batch.
        repeats: of the interleaved rounds.

    Returns:
        A row for each method.
    """
    torch.manual_seed(SEED)
    model = models.build(Architecture("pixel_set", "plain", "standard"), (1, 64, 64), 16, (0, 10))
    world = make_world(10, 1, SEED)
    drawing = world.model.input
    images = drawing.tensors(drawing.encode(world.iq[:frames])).log1p()
    head, targets = Head(model, "modulation"), torch.zeros(len(images), dtype=torch.long)

    rows = []
    for ours, item in _pairs(head):
        contestants = {
            "ours": _batched(ours, head, images, targets),
            "captum": _one_by_one(item, images, targets),
        }
        if ours.name in QUANTUS and importlib.util.find_spec("quantus"):
            by_quantus = _of_quantus(head, QUANTUS[ours.name])
            contestants["Quantus"] = _one_by_one(by_quantus, images, targets)
        seconds = medians(interleave(contestants, repeats, time.process_time))
        rate = {name: len(images) / one for name, one in seconds.items()}
        rows.append(
            {
                "method": ours.name.replace("_", " "),
                "batches, frames a second": f"{rate['ours']:.3g}",
                "captum item by item": f"{rate['captum']:.3g}",
                "ratio": f"{rate['ours'] / rate['captum']:.1f}",
                "Quantus item by item": f"{rate['Quantus']:.3g}" if "Quantus" in rate else "-",
            }
        )
    return rows


Item = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _pairs(head: Head) -> list[tuple[Method, Item]]:
    """Each method, and captum's own for one image (1, ...) and its target."""
    from captum import attr

    def lit_pixels(image: torch.Tensor) -> torch.Tensor:
        """One feature for each lit pixel, and one for all dark ones."""
        number = torch.zeros(image.numel(), dtype=torch.long)
        lit = image.flatten().nonzero()[:, 0]
        number[lit] = torch.arange(1, len(lit) + 1)
        return number.view_as(image)

    def gradient(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return attr.InputXGradient(head).attribute(image, target=target)

    def integrated(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return attr.IntegratedGradients(head).attribute(image, target=target, n_steps=10)

    def occlusion(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        explained = attr.Occlusion(head)
        return explained.attribute(image, (1, 16, 16), strides=(1, 16, 16), target=target)

    def leave_one_out(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        features = lit_pixels(image)
        return attr.FeatureAblation(head).attribute(image, target=target, feature_mask=features)

    def shapley(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        explained, features = attr.ShapleyValueSampling(head), lit_pixels(image)
        return explained.attribute(image, target=target, feature_mask=features, n_samples=1)

    return [
        (methods.Gradient(), gradient),
        (methods.IntegratedGradients(steps=10), integrated),
        (methods.Occlusion(0.25, 0.25), occlusion),
        (methods.LeaveOneOut(), leave_one_out),
        (methods.Shapley(permutations=1, seed=1), shapley),
    ]


def _of_quantus(head: Head, name: str) -> Item:
    """A method of Quantus, which takes and gives arrays and adds channels up unless told not to."""
    quantus = importlib.import_module("quantus")

    def explained(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        maps = quantus.explain(head, image.numpy(), target.numpy(), method=name, reduce_axes=())
        return torch.from_numpy(maps)

    return explained


def _batched(method: Method, head: Head, images: torch.Tensor, targets: torch.Tensor) -> Maps:
    return lambda: methods.attribute(method, head, images, targets)


def _one_by_one(item: Item, images: torch.Tensor, targets: torch.Tensor) -> Maps:
    pairs = list(zip(images.split(1), targets.split(1), strict=True))
    return lambda: torch.cat([item(image, target) for image, target in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snrs", nargs="+", type=int, default=[0, 6, 10, 16], help="dB")
    parser.add_argument("--frames", type=int, default=5, help="of each class")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the timing")
    parser.add_argument("--draws", type=int, default=1, help="times the masks and orders")
    parser.add_argument("--methods", nargs="+", default=[], help="these alone; default: all")
    parser.add_argument("--seed", type=int, default=SEED, help="of the frames")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    made = f"Made by `python -m benchmarks.judge` on {machine_and_date()}.\n\n"

    some = options.methods
    chosen = [one for one in contestants(options.draws) if not some or one.name in some]
    by_frame = []
    for snr_db in options.snrs:
        by_frame.append(judge(snr_db, options.frames, chosen, options.seed))
        print(f"judged at {snr_db} dB", flush=True)
    summary = judged.summary(pd.concat(by_frame, ignore_index=True))
    found = made + table(rows_of(summary))
    print(found, flush=True)
    if some or options.seed != SEED:
        return

    write_between(options.page, *FOUND, found)

    time_methods(options.page, options.repeats)


def time_methods(page: Path, repeats: int) -> None:
    """Writes how fast methods are, with so many rounds of the timing, into the page."""
    made = f"Made by `python -m benchmarks.judge` on {machine_and_date()}.\n\n"
    speed = made + table(speeds(TIMED_FRAMES, repeats))
    write_between(page, *SPEED, speed)
    print(speed)


if __name__ == "__main__":
    main()
