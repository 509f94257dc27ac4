"""How far the maps of a model agree with the evidence in the frames, for plots/evidence.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pisces.attribution import judged
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.methods import Method

COLUMNS = ("method", "snr_db", "frames", "left_out", "agreement", "ci_low", "ci_high")


def table(
    explained: ExplainedModel,
    chosen: Sequence[Method],
    index: np.ndarray,
    source: Path,
    by_label: Mapping[int, float],
) -> pd.DataFrame:
    """The agreement of each method with the evidence, of all frames and SNR by SNR.

    It says how much of the evidence the model goes by, and not which method is right: see
    `judged`.

    Args:
        explained: the model.
        chosen: the methods.
        index: frames (n, 3).
        source: their IQ shards.
        by_label: SNR label -> linear SNR of a symbol, as of `limits.reception_of`.

    Returns:
        Rows of `COLUMNS`, `judged.CEILING` among the methods, `snr_db` NaN for all frames
        together.
    """
    by_frame = judged.judge(explained, chosen, index, source, by_label)
    of_all = judged.summary(by_frame.assign(snr_db="all"))
    of_each = judged.summary(by_frame)
    rows = pd.concat([of_all.assign(snr_db=np.nan), of_each], ignore_index=True)
    return rows.rename(columns={"mean": "agreement"})[list(COLUMNS)]
