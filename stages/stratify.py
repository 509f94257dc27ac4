"""Stage `stratify`: sizes of the shards -> train, validation and test frames."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.core import files
from pisces.data import splitting
from pisces.run import console, tracking

CONSTELLATIONS, OUT, METRICS = (
    Path("data/constellations"),
    Path("data/splits.npz"),
    Path("metrics/stratify.json"),
)


def main() -> None:
    params = load_params()
    with tracking.stage("stratify", params) as run:
        parts = splitting.split(CONSTELLATIONS, params.stratify.shares, params.base.seed)
        summary = splitting.verify(parts) | {"unused": splitting.unused(CONSTELLATIONS, parts)}
        splitting.write_splits(OUT, parts)
        files.write_json(METRICS, summary)
        run.metrics({part: summary[part] for part in splitting.PARTS})
        run.dataset("splits", str(summary["sha256"]), str(OUT))
    print(
        f"split {summary['joint_classes']} joint classes into {' + '.join(f'{summary[p]} {p}' for p in splitting.PARTS)} frames in {OUT}"
    )


if __name__ == "__main__":
    console.run(main)
