"""Which pixels of the noise floor matter: fills docs/results/explanations.md.

    python -m benchmarks.judge_floor [--model models] [--labels 0 4 6 10] [--frames 12]
        [--folder kept]

Takes the model of a finished `dvc repro` and new frames of the same world. Explained is the SNR
that the model predicts against its runner-up; the truth is what each point of the view `noise`
says for the one against the other, see `pisces.truth.noise_floor`.
"""

import argparse
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.judge import PAGE, RESAMPLES, rows_of
from benchmarks.judge_models import explained_by, make_frames, true_snr
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.attribution import judged, methods
from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.head import DifferenceHead
from pisces.attribution.judged import CEILING, Truth
from pisces.attribution.methods import Method
from pisces.config.io import load_params
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean
from pisces.data import splitting
from pisces.evaluation import inference
from pisces.inputs.base import IQ_SHARDS
from pisces.models import modelfile
from pisces.truth import evidence, noise_floor
from pisces.truth.evidence import Duel

MODEL = Path("models")
FOUND = ("<!-- floor judged -->\n", "<!-- end of floor judged -->\n")
CHOSEN: tuple[Method, ...] = (
    methods.Gradient(),
    methods.LeaveOneOut(),
    methods.IntegratedGradients(steps=16),
    methods.Brightness(),
    methods.RandomBaseline(seed=1),
)
EDGES = (-np.inf, -10.0, -5.0, 0.0, 3.0, np.inf)
"""Of bands of levels, dB over the floor of the predicted SNR."""


class Floor(NamedTuple):
    """The view `noise` of n frames, and what it says."""

    truth: Truth
    over_floor_db: np.ndarray
    """Level of the middle of each pixel over the floor of the predicted SNR, (n, pixels)."""
    counts: np.ndarray
    """Points in each pixel, (n, pixels)."""


def floor_of(frames: torch.Tensor, explained: ExplainedModel, duel: Duel) -> Floor:
    """What the points of the noise floor say for one SNR against another.

    Args:
        frames: float32 (n, samples, 2).
        explained: the model.
        duel: numbers of SNRs in the model, of each frame.

    Returns:
        The truth of pixels, and where they lie.
    """
    render = explained.data.render
    snrs_db = np.array([true_snr(label) for label in explained.trained.snrs_db])
    own, rival = (snrs_db[numbers][:, None] for numbers in duel)
    levels = noise_floor.receive(frames, render)
    by_point = noise_floor.level_evidence(levels.level_db, own, rival)

    middles = noise_floor.pixel_levels(render.size, render.extent.noise)
    pixels = len(middles)
    by_pixel = evidence.pixel_means(by_point, levels.pixels, pixels)
    by_middle = noise_floor.level_evidence(middles, own, rival)
    truth = Truth(by_pixel, by_middle, evidence.can_be_ranked(by_point))
    floor_db = 10 * np.log10(noise_floor.noise_power(own))
    inside = [row[row < pixels] for row in levels.pixels]
    counts = np.stack([np.bincount(row, minlength=pixels) for row in inside])
    return Floor(truth, middles - floor_db, counts)


def judge(
    explained: ExplainedModel, index: np.ndarray, root: Path
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """How maps of the SNR head agree with the evidence, and at which levels they are large.

    Args:
        explained: the model.
        index: frames of one SNR, (n, 3).
        root: of their shards.

    Returns:
        For each method rows of `method, ranked, rho`, and rows of `shares`.
    """
    frames = Frames.of(explained, index)
    duel = judged.duel_of(frames.predict_whole(explained.model)[1])
    floor = floor_of(judged.samples_of(explained.data, index, root / IQ_SHARDS), explained, duel)

    head = DifferenceHead(explained.model, "snr", explained.trained.input.from_images)
    context = (*frames.probe.context, *explained.condition(frames.snr_db))
    channel = explained.data.render.views.index("noise")
    worth = np.nan_to_num(floor.truth.evidence) * floor.counts
    agreement = {CEILING: judged.ceiling(floor.truth)}
    sizes = {"points": floor.counts, "evidence": worth}
    for method in CHOSEN:
        maps = judged.scores_of(method, head, frames.probe.images, duel, context)
        agreement[method.name] = judged.agreements(method, maps, channel, floor.counts, floor.truth)
        sizes[method.name] = maps[:, channel].flatten(1).numpy()

    ranked = floor.truth.ranked
    of_methods = [
        pd.DataFrame({"method": name, "ranked": ranked, "rho": rho})
        for name, rho in agreement.items()
    ]
    return of_methods, [shares(values, floor).assign(of=name) for name, values in sizes.items()]


def shares(values: np.ndarray, floor: Floor) -> pd.DataFrame:
    """How much of what pixels say, whatever its sign, lies in each band of levels.

    Args:
        values: of the pixels of the view `noise`, (n, pixels).
        floor: of the same frames.

    Returns:
        Rows of `band, frame, percent`; those of a frame add up to 100.
    """
    size = np.abs(values) * (floor.counts > 0)
    rows = []
    for low, high in pairwise(EDGES):
        inside = (floor.over_floor_db >= low) & (floor.over_floor_db < high)
        percent = 100 * (size * inside).sum(1) / size.sum(1)
        rows.append(pd.DataFrame({"band": low, "frame": range(len(size)), "percent": percent}))
    return pd.concat(rows, ignore_index=True)


def band_rows(found: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each band of levels: shares of points, evidence and attributions, all SNRs."""
    rows = []
    for low, high in pairwise(EDGES):
        ends = f"{low:g} to {high:g} dB".replace("-inf to", "below").replace("to inf dB", "dB on")
        row = {"level over the floor": ends}
        for name, of_name in found[found["band"] == low].groupby("of", sort=False):
            rng = generator(1, "shares of bands", str(name), str(low))
            mean = bootstrap_mean(of_name["percent"].to_numpy(), RESAMPLES, rng)
            row[f"{name}, %".replace("_", " ")] = (
                f"{mean['mean']:.1f} ({mean['ci_low']:.1f} to {mean['ci_high']:.1f})"
            )
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 4, 6, 10])
    parser.add_argument("--frames", type=int, default=12, help="of each cell")
    parser.add_argument("--folder", type=Path, help="of frames; default: thrown away")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    trained = modelfile.load(options.model)
    inference.choose_precision(trained, load_params().train.precision)
    agreement, bands = [], []
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.folder or Path(temporary)) / "frames"
        root.mkdir(parents=True, exist_ok=True)
        data = make_frames(root, options.labels, options.frames)
        explained = explained_by(trained, root)
        index = splitting.first_of_each_cell(data.every_frame(), options.frames)
        for number, label in enumerate(progress(data.snrs_db, "noise floor")):
            of_snr = index[index[:, 1] == number]
            of_methods, of_bands = judge(explained, of_snr, root)
            agreement += [rows.assign(snr_db=f"{true_snr(label):g}") for rows in of_methods]
            bands += of_bands

    summary = judged.summary(pd.concat(agreement, ignore_index=True))
    made = f"Made by `python -m benchmarks.judge_floor` on {machine_and_date()}.\n\n"
    made += table(rows_of(summary)) + "\n" + table(band_rows(pd.concat(bands, ignore_index=True)))
    print(made)
    write_between(options.page, *FOUND, made)


if __name__ == "__main__":
    main()
