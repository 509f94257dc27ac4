"""Stage `limits`: IQ shards + predictions -> how far a model lies below the ceiling."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files
from pisces.evaluation import limits, references
from pisces.evaluation.predictions import read_predictions
from pisces.inputs.settings import RenderSettings
from pisces.run import guard, tracking

SHARDS, PREDICTIONS = Path("data/split_hdf5"), Path("data/predictions.npz")
METRICS, TABLES = Path("metrics/limits.json"), Path("plots")


def main() -> None:
    params = load_params()
    predictions = read_predictions(PREDICTIONS, SHARDS)
    if not references.recognisable(tuple(predictions["modulations"].tolist())):
        print(
            "warning: no constellation can be recognised among data.modulations; "
            "ceiling and blind reference of modulation count every frame as right and bound nothing"
        )

    with tracking.stage("limits", params) as run:
        tables = limits.measure(
            SHARDS,
            predictions,
            render=params.render.to(RenderSettings),
            trials=params.limits.trials,
            blind_frames=params.limits.blind_frames,
            seed=params.base.seed,
        )
        headline = limits.headline(tables)
        with files.together():
            written = files.write_tables(TABLES, tables)
            files.write_json(METRICS, headline)

        for path in written:
            run.artifact(path)
        run.metrics(headline)

    gaps = [f"{task} {headline[task]['gap_points']:.1f}" for task in ("modulation", "snr")]
    blind = f"modulation {headline['modulation']['blind_gap']:.1f} below the blind reference"
    print(
        f"points below the ceiling, mean over the SNRs: {', '.join(gaps)}; {blind}; "
        f"wrote {METRICS} and {', '.join(map(str, written))}"
    )


if __name__ == "__main__":
    guard.run("limits", main)
