"""How much of the evidence the trained model of this workspace goes by: fills
docs/results/explanations.md.

    python -m benchmarks.judge_model [--labels 0 4 6 10] [--frames 3]

Takes the model, the test frames and the seed of a finished `dvc repro`. Methods, truth and figure
are those of `benchmarks.judge`; SNRs are true ones over the whole band.
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.judge import PAGE, RESAMPLES, contestants, rows_of
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.attribution import judged
from pisces.attribution.explained_model import ExplainedModel
from pisces.config.io import load_params
from pisces.core.snr_label import true_snr_db
from pisces.data import splitting
from pisces.evaluation import inference, limits
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile

DATA, SHARDS, MODEL = Path("data"), Path("data/split_hdf5"), Path("models")
FOUND = ("<!-- model judged -->\n", "<!-- end of model judged -->\n")


def judge(labels: Sequence[int], frames: int) -> pd.DataFrame:
    """The agreement of each method's maps of the model with the evidence.

    Args:
        labels: SNR labels of the frames.
        frames: test frames of each class at each of them.

    Returns:
        Rows of `judged.judge`, with true SNRs.
    """
    params = load_params()
    data, trained = BinStore(DATA / "constellations"), modelfile.load(MODEL)
    inference.choose_precision(trained, params.train.precision)
    prober = trained.input.prober(DATA, "zero", params.base.seed)
    explained = ExplainedModel.on_device(
        trained, prober, data, params.base.seed, inference.device()
    )

    test = splitting.read_splits(DATA / "splits.npz", data.sizes)["test"]
    index = splitting.first_of_each_cell(test, frames)
    chosen = [data.snrs_db.index(label) for label in labels]
    index = index[np.isin(index[:, 1], chosen)]
    received = limits.reception_of(SHARDS, data.modulations, labels, data.render)

    found = judged.judge(explained, contestants(1), index, SHARDS, received.after_equalizer)
    true_snrs = {label: true_snr_db(label, data.snr_label) for label in labels}
    return found.assign(snr_db=found["snr_db"].map(true_snrs))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[0, 4, 6, 10])
    parser.add_argument("--frames", type=int, default=3, help="of each class at each label")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")

    summary = judged.summary(judge(options.labels, options.frames), RESAMPLES, seed=1)
    found = f"Made by `python -m benchmarks.judge_model` on {machine_and_date()}.\n\n"
    found += table(rows_of(summary))
    write_between(options.page, *FOUND, found)
    print(found)


if __name__ == "__main__":
    main()
