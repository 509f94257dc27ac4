"""What a run does with a data file before it trains: how much it reads and writes, and how long.

Rates are of 2 cores at the size of RML2018.01A: python -m benchmarks.full_size measures them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pisces.core.shards import Cell
from pisces.core.texts import counted, readable_size
from pisces.sources.settings import Selection
from pisces.sources.sharding import reader_of

CHECKSUM_BYTES_A_SECOND = 190e6  # of one large file, by DVC
FOLDER_BYTES_A_SECOND = 250e6  # of many shards, by DVC
FRAMES_A_SECOND = 8_000  # of 1 024 samples, through split_hdf5, render and stratify together
USUAL_SAMPLES = 1024
ACQUIRED_A_SECOND = 3e5  # samples of recordings, by split_hdf5

BYTES_OF_SAMPLE, BYTES_OF_POINT, BYTES_OF_ROW = 8, 2, 8
"""Of a complex sample in an IQ shard, of a point in a constellation shard, of a row's number."""


def forecast(data: Selection, views: int) -> str:
    """What is about to be done with a data file, in lines for whoever waits for it.

    Args:
        data: which frames of which file.
        views: how many are rendered of each frame.

    Returns:
        Lines with sizes and times.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or not in its layout.
    """
    path = Path(data.path)
    with reader_of(path).open(path, data.class_order) as source:
        samples = source.samples
        cells = [Cell(name, snr_db) for name in data.modulations for snr_db in data.snrs_db]
        rows = [source.rows.get(cell, ())[: data.frames_per_cell] for cell in cells]
    frames = sum(map(len, rows))

    bytes_of_frame = samples * (BYTES_OF_SAMPLE + views * BYTES_OF_POINT) + 2 * BYTES_OF_ROW
    written, size = frames * bytes_of_frame, path.stat().st_size
    computing_s = frames * samples / USUAL_SAMPLES / FRAMES_A_SECOND
    return (
        f"{path} has {readable_size(size)}: DVC reads it once for its checksum, "
        f"{_time(size / CHECKSUM_BYTES_A_SECOND)}, and copies it nowhere\n"
        f"split_hdf5, render and stratify write {readable_size(written)} of "
        f"{counted(frames, 'frame')} into data/, {_time(computing_s)} on 2 cores\n"
        f"DVC reads these for their checksums, {_time(written / FOLDER_BYTES_A_SECOND)}; its cache "
        "holds them as hard links, which take no further disk"
    )


def of_recordings(path: Path, labelled: Sequence[tuple[str, int]], frame_samples: int) -> str:
    """What is about to be done with a folder of recordings, in lines for whoever waits for it.

    Args:
        path: the folder.
        labelled: label and samples of each stretch that is used.
        frame_samples: of a frame that is cut from them.

    Returns:
        Lines with sizes and times.
    """
    files = [one for one in path.rglob("*") if one.is_file()]
    size = sum(one.stat().st_size for one in files)
    of_labels: Counter[str] = Counter()
    for label, count in labelled:
        of_labels[label] += count
    samples = of_labels.total()
    each = ", ".join(f"{label} {count:,}" for label, count in sorted(of_labels.items()))
    return (
        f"{path} has {readable_size(size)} in {counted(len(files), 'file')}: DVC reads "
        f"these once for their checksum, {_time(size / CHECKSUM_BYTES_A_SECOND)}, "
        "and copies them nowhere\n"
        "split_hdf5 finds carrier and symbol rate of "
        f"{counted(len(labelled), 'labelled stretch', 'labelled stretches')} of "
        f"{samples:,} samples ({each}), {_time(samples / ACQUIRED_A_SECOND)} on 2 cores\n"
        f"and cuts them into frames of {frame_samples} samples, how many depends on their symbol "
        "rates: python -m pisces check counts them"
    )


def _time(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
