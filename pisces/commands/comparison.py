"""`python -m pisces compare`, `record` and `seeds`: experiments beside each other."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pisces.commands.help_texts import texts_of
from pisces.core.texts import counted
from pisces.run.hiding import hide

if TYPE_CHECKING:
    from pisces.experiments.compare import Comparison

EXPERIMENT = "an experiment of DVC, a revision of git, or workspace"


def add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `compare` to the commands of a parser."""
    comparing = commands.add_parser("compare", **texts_of(compare))
    comparing.set_defaults(function=compare)
    comparing.add_argument("experiments", nargs="+", metavar="EXP", help=EXPERIMENT)
    against = "compare all others with the kind of this one; default: the first"
    comparing.add_argument("--against", metavar="EXP", help=against)
    out = "a folder for the tables as CSV, the pictures as PNG and PDF, and their captions"
    comparing.add_argument("--out", type=Path, metavar="DIR", help=out)
    cost = "measure frames a second as well, all models in turns on this machine"
    comparing.add_argument("--cost", action="store_true", help=cost)


def compare(experiments: list[str], against: str | None, out: Path | None, cost: bool) -> None:
    """Says which experiment is better, by how much and how sure that is.

    Args:
        experiments: of DVC, revisions of git, or `workspace`.
        against: the one whose kind the others are compared with; None: the first.
        out: folder for tables and pictures; None: only the terminal.
        cost: whether to measure frames a second.

    Raises:
        ValueError: where what was refused leaves no difference; after all that there is to say.
    """
    from pisces.experiments.compare import compare as compared
    from pisces.experiments.describe import text
    from pisces.run import output_folders

    if out:
        output_folders.require_writable(out)
    found = compared(experiments, against, with_speed=cost)
    print(text(found))
    if out:
        print(f"\nwrote {', '.join(_write(found, out))} to {hide(str(out))}")
    if found.is_without_result:
        raise ValueError("no two kinds could be compared; the notes above say why")


def add_record(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `record` to the commands of a parser."""
    recording = commands.add_parser("record", **texts_of(record))
    recording.set_defaults(function=record)
    recording.add_argument("experiments", nargs="+", metavar="EXP", help=EXPERIMENT)
    file = "the JSON file: an object of one experiment, a list of several"
    recording.add_argument("--out", type=Path, required=True, metavar="FILE", help=file)
    board = "as a row of that board of rf-benchmark-hub: modulation alone"
    recording.add_argument("--board", choices=("amc",), help=board)


def record(experiments: list[str], out: Path, board: str | None) -> None:
    """Writes results as JSON, with the frames, the regime and the code that they hold for.

    Args:
        experiments: of DVC, revisions of git, or `workspace`.
        out: the file.
        board: the board whose form the results get; None for our own.
    """
    from pisces.core.files import write_json
    from pisces.experiments import record as recording
    from pisces.run import output_folders

    output_folders.require_target(out)
    found = recording.records(experiments)
    if board:
        found = [recording.for_amc_board(one) for one in found]
    write_json(out, found[0] if len(found) == 1 else found)
    print(f"wrote {counted(len(found), 'result')} to {hide(str(out))}")


def add_seeds(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `seeds` to the commands of a parser."""
    running = commands.add_parser("seeds", **texts_of(seeds))
    running.set_defaults(function=seeds)
    running.add_argument("count", type=int, metavar="N", help="train.seed goes from 1 to this")
    change = "a param, as of dvc exp run; values with commas between are all run with every seed"
    running.add_argument(
        *("-S", "--set-param"), dest="changes", action="append", metavar="KEY=VALUE", help=change
    )
    running.add_argument("--name", help="of the study; default: made of its params")
    storage = "where workers meet, see sweep run; default: PISCES_STORAGE, or else sweeps.db here"
    running.add_argument("--storage", metavar="URL", help=storage)
    until = "the last stage of a run; default: evaluate"
    running.add_argument("--until", default="evaluate", metavar="STAGE", help=until)
    running.add_argument("--threads", type=int, metavar="T", help="of a run; default: all cores")
    out = "a folder for the tables as CSV, the pictures as PNG and PDF, and their captions"
    running.add_argument("--out", type=Path, metavar="DIR", help=out)


def seeds(
    count: int,
    changes: list[str] | None,
    name: str | None,
    storage: str | None,
    until: str,
    threads: int | None,
    out: Path | None,
) -> None:
    """Runs the same experiment with several seeds of the training, and compares over them.

    Args:
        count: of seeds.
        changes: `key=value` or `key=value,value`, of the params as they are.
        name: of the study; None for one made of its params.
        storage: address where workers meet; None for the default.
        until: the last stage of a run.
        threads: of a run; None for all cores.
        out: folder for tables and pictures; None: only the terminal.
    """
    from pisces.experiments import address, worker
    from pisces.experiments import seeds as runs
    from pisces.run import output_folders

    if out:
        output_folders.require_writable(out)
    address.hide_password(storage)
    url = address.read(storage)
    spec = runs.study_of(count, changes or [], until, threads)
    name = runs.default_name(spec, Path.cwd()) if name is None else name
    worker.work(spec, name, url)
    print()
    compare(runs.finished(spec, name, url), None, out, cost=False)


def _write(found: "Comparison", out: Path) -> list[str]:
    """Tables, pictures and captions, all of them or none; the names of the files."""
    from pisces.core.files import together, write_tables
    from pisces.report import comparison, saved

    pictures = {"accuracy_over_snr": comparison.accuracy_over_snr(found.by_snr, found.snr_label)}
    if len(found.differences):
        pictures["differences"] = comparison.differences(found.differences)
    tables = {
        "experiments": found.experiments,
        "kinds": found.kinds,
        "differences": found.differences,
        "accuracy_by_snr": found.by_snr,
    }
    with together():
        written = write_tables(out, tables)
        return [*(path.name for path in written), *saved.save(pictures, out)]
