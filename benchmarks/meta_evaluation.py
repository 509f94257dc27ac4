"""Which faithfulness metric ranks the methods as the truth does: for docs/results/explanations.md.

    python -m benchmarks.meta_evaluation [--folder kept] [--labels 0 4 6 10] [--frames 12]
        [--checked 3] [--tuned models/mask_tuned]

Takes the model of a finished `dvc repro`, and the two that were tuned with and without random masks
(stage `tune_masks`). Explained are new frames of the same world, each model's own prediction
against its runner-up. The truth about a method is its agreement with the evidence; see
`pisces.attribution.judged`. Metrics look at the same maps, in the view `symbol`, where the truth
is known. Methods are those of `attribute` in params.yaml, as they are set up there, the gradient
and the references. `--checked` frames of each cell have their sensitivity measured, for which every
map is made anew. What `--folder` holds already is not made again.
"""

import argparse
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from benchmarks.judge import PAGE, RESAMPLES
from benchmarks.judge_models import explained_by, make_frames, true_snr, truths_of
from benchmarks.known_truth import KnownTruth
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.attribution import faithfulness, methods
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.head import Context
from pisces.attribution.judged import Case
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.settings import AttributionSettings
from pisces.attribution.tuned_models import TRAINED
from pisces.config.io import load_params
from pisces.core.seeding import generator
from pisces.core.stats import percentile_interval, rank_correlation
from pisces.evaluation import inference
from pisces.models import modelfile
from pisces.pis.brightness import exact_size
from pisces.training import mask_tuning

MODEL = Path("models")
FOUND = ("<!-- metrics judged -->\n", "<!-- end of metrics judged -->\n")
LEVELS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
"""Of deletion and insertion, in percent of the lit pixels of the view: those of params.yaml."""
PIS_LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
RADIUS, PERTURBATIONS = 0.1, 8
"""Of sensitivity, and samples of infidelity: those of params.yaml."""

GOOD = {
    "deletion area": -1,
    "insertion area": 1,
    "infidelity": -1,
    "sensitivity": -1,
    "PIS excess": 1,
}
"""Metric -> 1 where more is better, -1 where less is."""


# Measuring the maps of one method


class Measured:
    """Frames of one SNR, and what metrics say of maps of the view `symbol`."""

    def __init__(self, case: Case) -> None:
        self.case, self.explained = case, case.explained
        self.images = case.frames.probe.images
        chosen, rival = (torch.from_numpy(column) for column in case.duel)
        self.chosen, self.context = chosen, (*case.context, rival)
        self.identities = self.explained.data.identities(case.index)

        # Pixels of other views count as dark, so that none of them is taken.
        self.counts = np.zeros(case.frames.probe.counts.shape, np.float32)
        self.counts[:, case.pixels] = case.counts
        self.n_lit = np.count_nonzero(self.counts, axis=1)
        self.ties = self._draws("attribute tie")
        self.at_random = self._order(self._draws("random masks"))

        names = {name: at for at, name in enumerate(self.explained.trained.modulations)}
        self.true = np.array([names[name] for name, _, _ in self.identities])

    def metrics(self, method: Method, maps: torch.Tensor, checked: int) -> dict[str, np.ndarray]:
        """Metric -> one number a frame, NaN where it has none.

        Args:
            method: whose maps they are.
            maps: (n, channels, size, size).
            checked: frames of each class whose sensitivity is measured.
        """
        order = self._order(self.case.scores(maps).cpu().numpy())
        counts = torch.from_numpy(self.counts)
        curves = faithfulness.curves(self._predict, counts, order, LEVELS, self.chosen)
        return {
            "deletion area": faithfulness.area(curves["deletion"], LEVELS),
            "insertion area": faithfulness.area(curves["insertion"], LEVELS),
            "infidelity": self._infidelity(maps),
            "sensitivity": self._sensitivity(method, checked),
            "PIS excess": self._right_without(self.at_random) - self._right_without(order),
        }

    def _draws(self, purpose: str) -> np.ndarray:
        """Random numbers 0..1 (n, pixels of all views)."""
        rngs = self.explained.generators(purpose, self.identities)
        return np.stack([rng.random(self.counts.shape[1]) for rng in rngs])

    def _order(self, scores: np.ndarray) -> np.ndarray:
        return faithfulness.order(scores, self.counts, self.ties)

    def _predict(self, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        return self.case.frames.predict(self.explained.model, pixels, offsets)[0]

    def _right_without(self, order: np.ndarray) -> np.ndarray:
        """At how many of `PIS_LEVELS` the model is right without the first pixels: 0..1, (n,)."""
        right = []
        for level in PIS_LEVELS:
            sizes = [exact_size(n, level) for n in self.n_lit]
            first = [row[:size] for row, size in zip(order, sizes, strict=True)]
            offsets = np.concatenate([[0], np.cumsum(sizes)])
            logits = self._predict(np.concatenate(first), offsets)
            right.append(logits.argmax(1).cpu().numpy() == self.true)
        return np.mean(right, axis=0)

    def _infidelity(self, maps: torch.Tensor) -> np.ndarray:
        """Of the difference of logits, where the other views stay as they are."""
        channel, head = self.case.channel, self.case.head

        def forward(of_view: torch.Tensor, images: torch.Tensor, *rest: torch.Tensor):
            views = list(images.split(1, 1))
            views[channel] = of_view
            return head(torch.cat(views, 1), *rest)

        return faithfulness.infidelity(
            forward,
            self.images[:, [channel]],
            maps[:, [channel]],
            self.chosen,
            PERTURBATIONS,
            self.explained.generators("infidelity", self.identities),
            (self.images, *self.context),
        )

    def _sensitivity(self, method: Method, checked: int) -> np.ndarray:
        found = np.full(len(self.images), np.nan)
        rows = np.flatnonzero(self._number_in_class() < checked)
        if method.name == RANDOM or not len(rows):
            # Its noise belongs to the frame, and not to what the frame looks like.
            found[rows] = 0
            return found

        channel, head = self.case.channel, self.case.head

        def explain(images: torch.Tensor, targets: torch.Tensor, context: Context) -> torch.Tensor:
            return methods.attribute(method, head, images, targets, context)[:, [channel]]

        found[rows] = faithfulness.sensitivity(
            explain,
            self.images[rows],
            self.chosen[rows],
            RADIUS,
            1,
            self.explained.generators("sensitivity", [self.identities[row] for row in rows]),
            tuple(column[rows] for column in self.context),
        )
        return found

    def _number_in_class(self) -> np.ndarray:
        """Of each frame how many of its class come before it, (n,)."""
        classes = pd.Series(self.case.index[:, 0])
        return classes.groupby(classes).cumcount().to_numpy()


def measure(
    explained: ExplainedModel, truth: KnownTruth, chosen: Sequence[Method], checked: int
) -> pd.DataFrame:
    """What metrics say of every method, and what is true, frame by frame.

    Args:
        explained: a model.
        truth: of frames of one SNR.
        chosen: the methods.
        checked: frames of each class whose sensitivity is measured.

    Returns:
        Rows of `snr_db, frame, method, ranked, agreement` and a column for each of `GOOD`.
    """
    case = Case.of(explained, truth.index, truth)
    measured = Measured(case)
    tables = []
    for method in chosen:
        maps = case.maps(method)
        columns = {"agreement": case.agreements(method, maps), "ranked": case.truth.ranked}
        columns |= measured.metrics(method, maps, checked)
        frame = np.arange(len(case.index))
        rows = pd.DataFrame({"frame": frame} | columns)
        tables.append(rows.assign(method=method.name, snr_db=truth.label))
    return pd.concat(tables, ignore_index=True)


# Ranking the methods


def over_methods(metric: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Rank correlation of two numbers of each method, both of them means over frames.

    Args:
        metric: the more the better, (methods, frames), NaN where a frame has none.
        truth: likewise.
        seed: of the bootstrap.

    Returns:
        Spearman's, -1..1, and its 95 % bootstrap interval: frames are drawn, the same for both
        numbers and all methods.
    """
    frames = metric.shape[1]
    rng = generator(seed, "frames of metrics")
    drawn = rng.integers(frames, size=(RESAMPLES, frames))
    drawn[0] = np.arange(frames)  # the frames as they are

    ranks = []
    for values in (metric, truth):
        means = np.stack([np.nanmean(of_method[drawn], axis=1) for of_method in values], 1)
        ranks.append(rankdata(means, axis=1))
    a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    found = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    low, high = percentile_interval(found[1:])
    return float(found[0]), float(low), float(high)


def frame_by_frame(metric: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean over frames of the rank correlation within each; arguments as of `over_methods`."""
    rho = rank_correlation(metric.T, truth.T, ~np.isnan(metric.T) & ~np.isnan(truth.T))
    rho = rho[~np.isnan(rho)]
    rng = generator(seed, "frames of metrics")
    means = [rho[rng.integers(len(rho), size=len(rho))].mean() for _ in range(RESAMPLES)]
    low, high = percentile_interval(np.array(means))
    return float(rho.mean()), float(low), float(high)


WAYS = {"over methods": over_methods, "frame by frame": frame_by_frame}


def rows_of(found: Mapping[str, pd.DataFrame]) -> dict[str, list[dict[str, str]]]:
    """Way of ranking -> a row for each metric and model, a column for each SNR."""
    tables = {}
    for name, way in WAYS.items():
        rows = []
        for metric, good in GOOD.items():
            for model, of_model in found.items():
                row = {name: metric, "model": model}
                for snr_db, at in of_model[of_model["ranked"]].groupby("snr_db"):
                    wide = at.assign(agreement=at["agreement"].fillna(0)).pivot(
                        index="method", columns="frame", values=["agreement", metric]
                    )
                    truth, values = wide["agreement"].to_numpy(), good * wide[metric].to_numpy()
                    known = ~np.isnan(values).any(axis=0)
                    mean, low, high = way(values[:, known], truth[:, known], seed=1)
                    row[f"{true_snr(snr_db):g} dB"] = f"{mean:.2f} ({low:.2f} to {high:.2f})"
                rows.append(row)
        tables[name] = rows
    return tables


def means_of(found: Mapping[str, pd.DataFrame]) -> list[dict[str, str]]:
    """A row for each method and model: agreement and metrics, means over the SNRs."""
    rows = []
    for model, of_model in found.items():
        ranked = of_model[of_model["ranked"]].fillna({"agreement": 0})
        by_snr = ranked.groupby(["method", "snr_db"], sort=False)[["agreement", *GOOD]].mean()
        for method, means in by_snr.groupby("method", sort=False).mean().iterrows():
            row = {"model": model, "method": str(method).replace("_", " ")}
            rows.append(row | {name: f"{value:.3f}" for name, value in means.items()})
    return rows


def contestants() -> list[Method]:
    """The gradient, the methods of params.yaml that a model which sums over pixels has, and the
    references.
    """
    params = load_params()
    settings = params.attribute.to(AttributionSettings)
    names = methods.applicable(settings.methods, spatial=True, is_summing=True)
    all_names = ("gradient", *names, *methods.REFERENCES)
    return [methods.build(name, settings, params.base.seed) for name in all_names]


def models_of(tuned: Path, root: Path) -> dict[str, ExplainedModel]:
    """The trained model, the tuned one and its control, on the frames below `root`."""
    found = {TRAINED: modelfile.load(MODEL)} | mask_tuning.load(tuned)
    precision = load_params().train.precision
    for model in found.values():
        inference.choose_precision(model, precision)
    return {name: explained_by(model, root) for name, model in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 4, 6, 10])
    parser.add_argument("--frames", type=int, default=12, help="of each cell")
    parser.add_argument("--checked", type=int, default=3, help="of them, for the sensitivity")
    parser.add_argument("--tuned", type=Path, default=MODEL / "mask_tuned")
    parser.add_argument("--folder", type=Path, help="of frames; default: thrown away")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    chosen, found = contestants(), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        root = folder / "frames"
        root.mkdir(parents=True, exist_ok=True)
        make_frames(root, options.labels, options.frames)
        truths = truths_of(root, options.frames, folder)
        for name, explained in models_of(options.tuned, root).items():
            parts = []
            for truth in truths:
                parts.append(measure(explained, truth, chosen, options.checked))
                print(f"measured {name} at label {truth.label}", flush=True)
            found[name] = pd.concat(parts, ignore_index=True)

    made = f"Made by `python -m benchmarks.meta_evaluation` on {machine_and_date()}.\n"
    for rows in (*rows_of(found).values(), means_of(found)):
        made += "\n" + table(rows)
    print(made)
    write_between(options.page, *FOUND, made)


if __name__ == "__main__":
    main()
