"""Stage `counterfactual`: model + test frames -> how few symbols turn it, and what it goes by."""

from pathlib import Path

from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.counterfactuals import choice, measure
from pisces.counterfactuals.settings import CounterfactualSettings
from pisces.data import splitting
from pisces.inputs.waveform import frames_behind
from pisces.run import guard, tracking

DATA, SPLITS, MODEL = Path("data"), Path("data/splits.npz"), Path("models")
METRICS, TABLES = Path("metrics/counterfactual.json"), Path("plots")
EXAMPLES = Path("data/counterfactual_examples.npz")


def main() -> None:
    params = load_params()
    settings, seed = params.counterfactual.to(CounterfactualSettings), params.base.seed

    explained = ExplainedModel.opened(DATA, MODEL, params.train.precision, seed)
    data = explained.data

    test = splitting.read_splits(SPLITS, data.sizes)["test"]
    chosen = choice.choose(explained, test, settings, params.attribute.to(AttributionSettings))
    for remark in chosen.remarks:
        print(f"left out: {remark}")

    with tracking.stage("counterfactual", params) as run:
        found = measure.measure(explained, frames_behind(data, DATA), chosen)
        with files.together():
            tables = files.write_tables(
                TABLES, {"counterfactuals": found.table, "evidence": found.evidence}
            )
            files.write_npz(EXAMPLES, found.arrays)
            files.write_json(METRICS, found.headline)

        run.metrics(found.headline)
        for path in tables:
            run.artifact(path)
    turned = f"turned {counted(found.frames, 'frame')} of {counted(len(chosen.pairs), 'pair')}"
    left = f"left {found.wrong} that are predicted wrong, refused {found.refused}"
    print(f"{turned}, {left}; wrote {', '.join(map(str, [*tables, METRICS]))}")


if __name__ == "__main__":
    guard.run("counterfactual", main)
