"""What a file as large as RML2018.01A costs before anything is trained: time a stage, and disk.

    python -m benchmarks.full_size [--folder /big/disk]

A clone of the last commit splits, renders and stratifies a generated file of 2 555 904 frames, by
DVC and with the preset `rml2018`, and then once more by force. It needs 45 GB of disk.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import run_times
from benchmarks.clones import make_clone
from benchmarks.pages import table
from benchmarks.splitting_memory import make_file
from benchmarks.timing import machine_and_date

REPRO = ("dvc", "repro", "--force", "stratify")
RELINK = ("dvc", "checkout", "--quiet", "--relink", "--with-deps", "stratify")
OUTPUTS = ("data/split_hdf5", "data/constellations", "data/splits.npz")


def disk_bytes(*paths: Path) -> int:
    """What files take on the disk, those of several names once."""
    inodes = {}
    for path in paths:
        for file in [path, *path.rglob("*")]:
            status = file.lstat()
            inodes[status.st_ino] = 512 * status.st_blocks
    return sum(inodes.values())


def run_stages(clone: Path) -> dict[str, float]:
    """Seconds of DVC's checksums before the first stage, of each stage, and of linking outputs."""
    start = time.perf_counter()
    seconds = run_times.run(REPRO, clone)
    end = time.perf_counter()
    before = {"checksums": end - start - sum(seconds.values())}

    subprocess.run(RELINK, cwd=clone, check=True)
    return before | seconds | {"links": time.perf_counter() - end}


def report(clone: Path, seconds: dict[str, float], title: str) -> None:
    """Prints the time of each stage, and the disk of outputs and cache over that of outputs.

    Args:
        clone: in which the stages ran.
        seconds: stage -> seconds.
        title: of what ran.
    """
    outputs = disk_bytes(*(clone / name for name in OUTPUTS))
    everything = disk_bytes(*(clone / name for name in OUTPUTS), clone / ".dvc/cache")
    rows = run_times.rows(seconds, sum(seconds.values()))
    print(f"\n{title}:\n\n{table(rows)}")
    print(f"outputs {outputs / 1e9:.2f} GB, with the cache {everything / outputs:.3f} times that")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames-per-cell", type=int, default=4096, help="as in the real file")
    parser.add_argument("--folder", type=Path, help="where the files go while it runs")
    options = parser.parse_args()
    print(machine_and_date(), flush=True)

    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        file, clone = Path(temporary) / "source.hdf5", Path(temporary) / "clone"
        make_file(file, options.frames_per_cell)
        make_clone(clone, "rml2018", "--data", str(file))
        for title in ("The first run", "The same once more, by force"):
            report(clone, run_stages(clone), title)


if __name__ == "__main__":
    main()
