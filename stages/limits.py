"""Stage `limits`: IQ shards + a model's answers -> how far it, and references without parameters, fall short of the ceiling."""

from pathlib import Path

import numpy as np

from pisces.config.schema import load_params
from pisces.core import files
from pisces.evaluation import bounds
from pisces.report import results, style
from pisces.run import console, tracking

SHARDS, PREDICTIONS = Path("data/split_hdf5"), Path("data/predictions.npz")
METRICS, PLOTS = Path("metrics/limits.json"), Path("plots")


def main() -> None:
    params = load_params()
    settings = {
        "trials": params.limits.trials,
        "sps": params.render.sps,
        "rolloff": params.render.rolloff,
        "seed": params.base.seed,
    }
    with np.load(PREDICTIONS) as file:
        predictions = dict(file)
    with tracking.stage("limits", params) as run:
        table, summary = bounds.measure(SHARDS, predictions, **settings)
        files.write_json(METRICS, summary)
        run.metrics(summary)
        note = results.BYPASSED if params.evaluate.bypass_denoiser else ""
        for path in results.write(
            PLOTS, {"ceiling": table}, {"ceiling": style.ceiling(table)}, note
        ):
            run.artifact(path)
    gaps = ", ".join(
        f"{task} {summary[task]['gap_points']['all']:.1f}" for task in ("modulation", "snr")
    )
    print(
        f"points below the ceiling, mean over the SNRs: {gaps}; wrote {METRICS} and {PLOTS}/ceiling.csv and .png"
    )


if __name__ == "__main__":
    console.run(main)
