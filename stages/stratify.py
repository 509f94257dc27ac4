"""Stage `stratify`: sizes of the shards -> train, validation and test frames."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files
from pisces.data import splitting
from pisces.run import guard, tracking

CONSTELLATIONS = Path("data/constellations")
OUT, COUNTS = Path("data/splits.npz"), Path("data/splits.json")


def main() -> None:
    params = load_params()
    with tracking.stage("stratify", params) as run:
        parts = splitting.split(CONSTELLATIONS, params.stratify.shares, params.base.seed)
        counts = splitting.verify(parts) | {"unused": splitting.unused(CONSTELLATIONS, parts)}
        with files.together():
            splitting.write_splits(OUT, parts)
            files.write_json(COUNTS, counts)
        run.dataset("splits", str(counts["sha256"]), str(OUT))

    frames = " + ".join(f"{counts[part]} {part}" for part in splitting.PARTS)
    print(f"split {counts['joint_classes']} joint classes into {frames} frames in {OUT}")


if __name__ == "__main__":
    guard.run("stratify", main)
