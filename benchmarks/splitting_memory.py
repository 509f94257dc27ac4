"""Peak memory and time of splitting a file as large as RML2018.01A (20.9 GB).

The setting is the published one: 272 cells, 9.1 GB of shards.
"""

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.frames import SAMPLES, make_frames
from pisces.core import shards
from pisces.core.modulations import DIGITAL, MODULATIONS
from pisces.core.progress import progress
from pisces.sources import rml2018, sharding
from pisces.sources.settings import Selection

DIFFERENT = 64  # frames made of each cell, repeated to fill it


def make_file(path: Path, frames_per_cell: int) -> None:
    cells = [(column, snr_db) for column in range(len(MODULATIONS)) for snr_db in rml2018.SNRS_DB]
    n = len(cells) * frames_per_cell
    file = shards.create(
        path,
        {"X": ((n, SAMPLES, 2), np.float32), "Y": ((n, 24), np.int64), "Z": ((n, 1), np.int64)},
        {},
    )
    for i, (column, snr_db) in enumerate(progress(cells, "making the file")):
        iq = make_frames(shards.Cell(MODULATIONS[column], snr_db), DIFFERENT)
        repeats = math.ceil(frames_per_cell / DIFFERENT)
        x = np.tile(iq, (repeats, 1, 1))[:frames_per_cell]
        y = np.tile(np.eye(24, dtype=np.int64)[column], (frames_per_cell, 1))
        shards.write(
            file, i * frames_per_cell, {"X": x, "Y": y, "Z": np.full((frames_per_cell, 1), snr_db)}
        )


def split(source: Path, target: Path) -> None:
    """In a process of its own, so that its peak memory is this alone."""
    data = Selection(
        path=str(source),
        class_order="fixed",
        modulations=DIGITAL,
        snrs_db=tuple(range(0, 31, 2)),
        frames_per_cell=None,
    )
    start = time.perf_counter()
    audit = sharding.split(data, target)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - start
    gigabytes, frames = source.stat().st_size / 1e9, audit.details["kept"]["frames"]
    print(f"{gigabytes:.1f} GB: {frames} frames kept in {seconds:.0f} s")
    print(
        f"peak memory {peak_mb:.0f} MB (under 1000); SNR slope {audit.headline['slope']:.3f}; "
        f"warnings: {audit.warnings}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--frames-per-cell",
        type=int,
        default=4096,
        help="4096 as in the real file; needs 30 GB of disk",
    )
    parser.add_argument("--folder", type=Path, help="where the files go while it runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        source, target = Path(temporary) / "source.hdf5", Path(temporary) / "shards"
        make_file(source, arguments.frames_per_cell)
        code = (
            "from pathlib import Path; from benchmarks.splitting_memory import split; "
            f"split(Path({str(source)!r}), Path({str(target)!r}))"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main()
