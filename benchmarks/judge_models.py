"""Is a better model better explained: fills docs/results/explanations.md, and draws
docs/images/explained_models.png.

    python -m benchmarks.judge_models [--folder kept] [--labels 0 4 6 10] [--frames 12]
        [--tested 100] [--seeds 1 2 3] [--models "pixel_set, 2 epochs" ...]

Models of different quality are trained on the frames of a finished `dvc repro`, once a seed. New
frames of the same world, which none of them was trained on, are explained: so many of each class,
for each model's own prediction against its runner-up, as in `benchmarks.judge_model`. Accuracy is
that of more such frames. What `--folder` holds already is not made again.
"""

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks import worlds
from benchmarks.judge import PAGE, RESAMPLES
from benchmarks.known_truth import KnownTruth
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.attribution import judged, methods
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.judged import CEILING, Case
from pisces.attribution.methods import Method
from pisces.attribution.shapley import is_summing
from pisces.config.io import load_params
from pisces.config.schema import Params
from pisces.core import files
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.snr_label import true_snr_db
from pisces.core.stats import percentile_interval
from pisces.data import splitting
from pisces.evaluation import inference
from pisces.inputs.base import CONSTELLATIONS
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.report import style
from pisces.report.captions import describe

DATA = Path("data")
PICTURE = Path("docs/images/explained_models.png")
FOUND = ("<!-- kinds judged -->\n", "<!-- end of kinds judged -->\n")
NEW_SEED = 1000
"""More than the seed of the frames that models were trained on."""

DEFAULT = "pixel_set, 16 epochs"
MODELS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "pixel_set, 4 epochs": {"epochs": 4},
    "pixel_set, 2 epochs": {"epochs": 2},
    "small_cnn, 16 epochs": {"model": "small_cnn"},
}
"""Name -> what differs from `train` in params.yaml."""
CHOSEN: tuple[Method, ...] = (
    methods.Gradient(),
    methods.LeaveOneOut(),
    methods.IntegratedGradients(steps=16),
    methods.RandomBaseline(seed=1),
)
"""The best on the exact classifier, and the control."""
DRAWN = {"gradient": "full", "integrated_gradients": "none"}
"""Methods of the picture, and how their markers are filled."""


CAPTION = (
    "Accuracy of the modulation against agreement with the evidence, at four true SNRs. Filled: "
    "gradient; open: Integrated Gradients. Seeds of a model are joined; bars are 95 % bootstrap "
    "intervals over frames."
)

# Models and frames


def folder_name(name: str, seed: int) -> str:
    """Of a model of `MODELS`."""
    return f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


def model_of(name: str, seed: int, folder: Path) -> TrainedModel:
    """A model of `MODELS`, trained unless the folder holds it."""
    params = load_params()
    path = folder / folder_name(name, seed)
    if not (path / modelfile.CARD).exists():
        changed = params.train.model_copy(update=MODELS[name] | {"seed": seed})
        parts = splitting.read_splits(DATA / "splits.npz", BinStore(DATA / CONSTELLATIONS).sizes)
        with_changes = params.model_copy(update={"train": changed})
        modelfile.save(path, worlds.train(DATA, with_changes, parts, seed))
    trained = modelfile.load(path)
    inference.choose_precision(trained, params.train.precision)
    return trained


def make_frames(root: Path, labels: Sequence[int], of_each: int) -> BinStore:
    """New frames of the world of params.yaml, of each of its classes at some SNR labels."""
    params = load_params()
    of_file = {"snrs_db": tuple(labels), "frames_per_cell": of_each}
    changed: dict[str, Any] = {
        "synthesize": params.synthesize.model_copy(update=of_file),
        "data": params.data.model_copy(update=of_file),
    }
    new: Params = params.model_copy(update=changed)
    worlds.make_data(root, new, params.base.seed + NEW_SEED)
    return BinStore(root / CONSTELLATIONS)


def explained_by(trained: TrainedModel, root: Path) -> ExplainedModel:
    """A model on the frames below `root`."""
    seed, data = load_params().base.seed, BinStore(root / CONSTELLATIONS)
    prober = trained.input.prober(root, "zero", seed)
    return ExplainedModel.on_device(trained, prober, data, seed, inference.device())


# Measuring


def judge(trained: TrainedModel, root: Path, truths: Sequence[KnownTruth]) -> pd.DataFrame:
    """The agreement of the best methods' maps with the evidence: rows of `judged.judge`."""
    explained, summing = explained_by(trained, root), is_summing(trained.model)
    chosen = [one for one in CHOSEN if summing or one.name not in methods.OF_SUMS]
    rows = []
    for truth in truths:
        case = Case.of(explained, truth.index, truth)
        rho = {method.name: case.agreements(method, case.maps(method)) for method in chosen}
        rows += judged.rows_of(case, {CEILING: judged.ceiling(case.truth)} | rho)
    return pd.DataFrame(rows)


def truths_of(root: Path, of_each: int, folder: Path) -> list[KnownTruth]:
    """The truth about so many frames of each cell below `root`, SNR by SNR; kept in a folder."""
    data = BinStore(root / CONSTELLATIONS)
    index = splitting.first_of_each_cell(data.every_frame(), of_each)
    of_snrs = [index[index[:, 1] == number] for number in range(len(data.snrs_db))]
    return [KnownTruth(root, of_snr, folder) for of_snr in of_snrs]


def accuracies(trained: TrainedModel, root: Path) -> pd.DataFrame:
    """Whether the modulation of each frame is right: rows of `snr_db, right`."""
    store = trained.input.open(root)
    index = store.every_frame()
    right, _ = worlds.predictions(trained, store, index)
    return pd.DataFrame({"snr_db": np.array(store.snrs_db)[index[:, 1]], "right": right})


def measure(
    names: Sequence[str], seeds: Sequence[int], folder: Path, frames: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Agreements and accuracies of every model and seed, frame by frame.

    Args:
        names: of `MODELS`.
        seeds: of each.
        folder: of the frames, `frames`, and of the models.
        frames: of each cell that are explained.

    Returns:
        Rows of `judge` and of `accuracies`, each with `model` and `seed`.
    """
    found, right = [], []
    root = folder / "frames"
    truths = truths_of(root, frames, folder)
    pairs = [(name, seed) for seed in seeds for name in names]
    for name, seed in progress(pairs, "models"):
        tables = [folder / f"{kind}_{folder_name(name, seed)}.csv" for kind in ("judged", "right")]
        if not all(path.exists() for path in tables):
            trained = model_of(name, seed, folder)
            files.write_csv(tables[0], judge(trained, root, truths))
            files.write_csv(tables[1], accuracies(trained, root))
        of_model, of_accuracy = (pd.read_csv(path) for path in tables)
        found.append(of_model.assign(model=name, seed=seed))
        right.append(of_accuracy.assign(model=name, seed=seed))
    return pd.concat(found, ignore_index=True), pd.concat(right, ignore_index=True)


def by_seed(found: pd.DataFrame) -> pd.DataFrame:
    """Agreement by frame: a row for each `model, method, seed, snr_db`, a column for each frame.

    A constant map ranks nothing and counts as 0; frames in which nothing can be ranked are NaN.
    """
    values = found.assign(rho=found["rho"].fillna(0.0).where(found["ranked"]))
    rows, columns = ["snr_db", "model", "method", "seed"], ["modulation", "frame"]
    return values.pivot(index=rows, columns=columns, values="rho")


def over_seeds(values: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean over frames and seeds, with its 95 % bootstrap interval over frames.

    Args:
        values: (seeds, frames), NaN where a frame is left out.
        seed: of the bootstrap.

    Returns:
        The mean over seeds of means over frames, and both ends of the interval: the resamples are
        the same for all seeds.
    """
    frames = values.shape[1]
    rng = generator(seed, "frames of all seeds")
    means = np.empty(RESAMPLES)
    for at in range(RESAMPLES):
        drawn = rng.integers(frames, size=frames)
        means[at] = np.nanmean(values[:, drawn], axis=1).mean()
    low, high = percentile_interval(means)
    return float(np.nanmean(values, axis=1).mean()), float(low), float(high)


# Tables and the picture


def rows_of(found: pd.DataFrame, right: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each model and method, and one for each model's accuracy; a column for each SNR."""
    wide, rows = by_seed(found), []
    for model, of_model in found.groupby("model", sort=False):
        accuracy = {"model": str(model), "": "accuracy, %"}
        for snr_db, at in right[right["model"] == model].groupby("snr_db"):
            seeds = 100 * at.groupby("seed")["right"].mean()
            accuracy[_column(snr_db)] = (
                f"{seeds.mean():.1f}; {seeds.min():.1f} to {seeds.max():.1f}"
            )
        rows.append(accuracy)

        for method in [CEILING, *(one.name for one in CHOSEN)]:
            if method not in set(of_model["method"]):
                continue
            row = {"model": "", "": method.replace("_", " ")}
            for snr_db in right["snr_db"].unique():
                values = wide.loc[snr_db, model, method].to_numpy()
                mean, low, high = over_seeds(values, seed=1)
                seeds = np.nanmean(values, axis=1)
                spread = f"{seeds.min():.2f} to {seeds.max():.2f}"
                row[_column(snr_db)] = f"{mean:.2f} ({low:.2f} to {high:.2f}); {spread}"
            rows.append(row)
    return rows


def differences(found: pd.DataFrame) -> list[dict[str, str]]:
    """How much more the explanations of the default agree than others', on the same frames."""
    wide, rows = by_seed(found), []
    labels = found["snr_db"].unique()
    for model in found["model"].unique():
        for method in DRAWN:
            if model == DEFAULT:
                continue
            row = {f"{DEFAULT} less": model, "": method.replace("_", " ")}
            for snr_db in labels:
                of_default, of_other = (wide.loc[snr_db, one, method] for one in (DEFAULT, model))
                mean, low, high = over_seeds((of_default - of_other).to_numpy(), seed=1)
                row[_column(snr_db)] = f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
            rows.append(row)
    return rows


def picture(found: pd.DataFrame, right: pd.DataFrame) -> Figure:
    """Accuracy against agreement: `CAPTION` says what stands where.

    Args:
        found: rows of `judge` with `model` and `seed`.
        right: rows of `accuracies`, likewise.

    Returns:
        A figure of one column of a page.
    """
    labels, wide = sorted(right["snr_db"].unique()), by_seed(found)
    names = list(found["model"].unique())
    marks = style.marks({name: name for name in names}, _colours(names))
    figure = Figure((style.COLUMN, 1.05 * style.COLUMN))
    grid = figure.subplots(2, (len(labels) + 1) // 2, sharey=True, squeeze=False)

    for axes, snr_db in zip(grid.flat, labels, strict=False):
        for name, mark in marks.items():
            at = right[(right["model"] == name) & (right["snr_db"] == snr_db)]
            accuracy = 100 * at.groupby("seed")["right"].mean()
            for method, filled in DRAWN.items():
                values = wide.loc[snr_db, name, method].to_numpy()
                ends = np.array([over_seeds(one[None], seed=1) for one in values])
                reach = style.spread(ends[:, 0], ends[:, 1], ends[:, 2])
                line = {"color": mark.colour, "marker": mark.marker, "lw": 0.5, "ms": 3}
                axes.errorbar(accuracy, ends[:, 0], reach, elinewidth=0.5, fillstyle=filled, **line)
        axes.axhline(0, **style.ZERO_LINE)
        axes.set_title(f"{true_snr(snr_db):g} dB")
    for axes in grid[-1]:
        axes.set_xlabel("Accuracy (%)")
    for axes in grid[:, 0]:
        axes.set_ylabel("Agreement")
    style.legend_below(figure, style.handles(marks.values()), columns=2)
    describe(figure, CAPTION)
    return figure


def _colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each model, those of predictions and tasks."""
    return dict(zip(names, style.MODULATION_FAMILY_COLOURS.values(), strict=False))


def true_snr(label: int) -> float:
    """In dB over the whole band, of a label of the frames of params.yaml."""
    return true_snr_db(label, load_params().synthesize.snr_label)


def _column(label: int) -> str:
    return f"{true_snr(label):g} dB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 4, 6, 10])
    parser.add_argument("--frames", type=int, default=12, help="of each cell, explained")
    parser.add_argument("--tested", type=int, default=100, help="of each cell, for the accuracy")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--folder", type=Path, help="of frames and models; default: thrown away")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        (folder / "frames").mkdir(parents=True, exist_ok=True)
        make_frames(folder / "frames", options.labels, options.tested)
        found, right = measure(options.models, options.seeds, folder, options.frames)

    made = f"Made by `python -m benchmarks.judge_models` on {machine_and_date()}.\n\n"
    made += table(rows_of(found, right))
    if DEFAULT in options.models and len(options.models) > 1:
        made += "\n" + table(differences(found))
    print(made)
    style.save(picture(found, right), options.picture)
    write_between(options.page, *FOUND, made)


if __name__ == "__main__":
    main()
