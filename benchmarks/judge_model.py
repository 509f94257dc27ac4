"""How much of the evidence the models of this workspace go by: fills docs/results/explanations.md.

    python -m benchmarks.judge_model [--labels 0 4 6 10] [--frames 3]
    python -m benchmarks.judge_model --models models models/mask_tuned/{tuned,control}
        --methods gradient leave_one_out integrated_gradients

Takes the models, the test frames and the seed of a finished `dvc repro`. Methods, truth and figure
are those of `benchmarks.judge`; SNRs are true ones over the whole band. Of several models the last
is the control, and what the others gain over it is told frame by frame.
"""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.judge import PAGE, contestants, rows_of
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.attribution import judged
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.judged import CEILING
from pisces.attribution.methods import Method
from pisces.config.io import load_params
from pisces.core.snr_label import true_snr_db
from pisces.data import splitting
from pisces.evaluation import limits

DATA, SHARDS, MODEL = Path("data"), Path("data/split_hdf5"), Path("models")
FOUND = ("<!-- model judged -->\n", "<!-- end of model judged -->\n")
GAINED = ("<!-- models judged -->\n", "<!-- end of models judged -->\n")
SEED = 1


def judge(
    model: Path, chosen: Sequence[Method], labels: Sequence[int], frames: int
) -> pd.DataFrame:
    """The agreement of each method's maps of a model with the evidence.

    Args:
        model: its folder.
        chosen: the methods.
        labels: SNR labels of the frames.
        frames: test frames of each class at each of them.

    Returns:
        Rows of `judged.judge`, with true SNRs.
    """
    params = load_params()
    explained = ExplainedModel.opened(DATA, model, params.train.precision, params.base.seed)
    data = explained.data

    test = splitting.read_splits(DATA / "splits.npz", data.sizes)["test"]
    index = splitting.first_of_each_cell(test, frames)
    numbers = [data.snrs_db.index(label) for label in labels]
    index = index[np.isin(index[:, 1], numbers)]
    received = limits.reception_of(SHARDS, data.modulations, labels, data.render)

    found = judged.judge(explained, chosen, index, SHARDS, received.after_equalizer)
    true_snrs = {label: true_snr_db(label, data.snr_label) for label in labels}
    return found.assign(snr_db=found["snr_db"].map(true_snrs))


def gains(own: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    """What a model's agreement is above that of a control, on the frames that both rank.

    Each model explains its own prediction against its own runner-up. A constant map counts as 0.

    Args:
        own: rows of `judge`, of the model.
        control: of the control, the same frames and methods in the same order.

    Returns:
        Rows of `snr_db, method, ranked, rho` for `judged.summary`, rho being the gain.
    """
    difference = own["rho"].fillna(0.0) - control["rho"].fillna(0.0)
    gained = own[["snr_db", "method"]].assign(
        ranked=own["ranked"] & control["ranked"], rho=difference
    )
    return gained[gained["method"] != CEILING]


def rows_of_models(by_model: Mapping[str, pd.DataFrame]) -> list[dict[str, str]]:
    """A row for each method of each model, and for what it gains over the last model.

    Args:
        by_model: name -> rows of `judge`.

    Returns:
        Rows of a table, a column for each SNR.
    """
    *others, control = by_model
    rows = []
    for name, by_frame in by_model.items():
        shown = {name: by_frame[by_frame["method"] != CEILING]}
        if name in others:
            shown[f"{name}, gain over {control}"] = gains(by_frame, by_model[control])
        for title, of_frames in shown.items():
            of_title = rows_of(judged.summary(of_frames))
            rows += [{"model": title} | row for row in of_title]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 4, 6, 10])
    parser.add_argument("--frames", type=int, default=3, help="of each class at each label")
    parser.add_argument("--models", nargs="+", type=Path, default=[MODEL], help="their folders")
    parser.add_argument("--methods", nargs="+", default=[], help="these alone; default: all")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    some = options.methods
    chosen = [one for one in contestants(1) if not some or one.name in some]
    by_model = {
        folder.name: judge(folder, chosen, options.labels, options.frames)
        for folder in options.models
    }
    found = f"Made by `python -m benchmarks.judge_model` on {machine_and_date()}.\n\n"
    if len(by_model) == 1:
        (by_frame,) = by_model.values()
        found += table(rows_of(judged.summary(by_frame)))
        write_between(options.page, *FOUND, found)
    else:
        found += table(rows_of_models(by_model))
        write_between(options.page, *GAINED, found)
    print(found)


if __name__ == "__main__":
    main()
