"""`python -m pisces sweep`: searches through params that survive killed workers."""

import argparse
from pathlib import Path

from pisces.commands import sweep_report
from pisces.commands.help_texts import texts_of


def add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group `sweep` to the commands of a parser."""
    what = "searches for better params, on any number of workers"
    group = commands.add_parser("sweep", help=what, description=what)
    actions = group.add_subparsers(dest="action", required=True)

    running = actions.add_parser("run", **texts_of(run))
    running.set_defaults(function=run)
    running.add_argument("file", type=_file, help="the study, such as sweeps/smoke.yaml")
    running.add_argument(
        "--storage",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; default: PISCES_STORAGE, or else "
        "sweeps.db here",
    )
    running.add_argument("--name", help="of the study; default: that of its file")
    running.add_argument(
        "--patience",
        type=_seconds,
        default=600,
        help="seconds to wait for a storage that is away; default: 600",
    )
    running.add_argument(
        "--lost-after",
        type=_seconds,
        default=120,
        help="seconds without a sign of life after which a trial is tried again; default: 120",
    )
    sweep_report.add_report(actions)


def run(
    action: str, file: Path, storage: str | None, name: str | None, patience: int, lost_after: int
) -> None:
    """Creates or joins a study, and works on its trials until all are done.

    Args:
        action: the name of this command.
        file: of the study.
        storage: its address; None for PISCES_STORAGE, or else a file in the repository.
        name: of the study; None for that of its file.
        patience: seconds to wait for a storage that is away.
        lost_after: seconds without a heartbeat after which a trial is tried again.
    """
    from pisces.experiments import address, study, worker

    del action
    address.hide_password(storage)
    spec = study.read(file)
    worker.work(
        spec, file.stem if name is None else name, address.read(storage), patience, lost_after
    )


def _file(text: str) -> Path:
    """The path of a study, which an address in its place is not."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is an address; name the study's file, and the address after --storage"
        )
    return Path(text)


def _seconds(text: str) -> int:
    """Seconds on the command line."""
    value = int(text) if text.isdecimal() else 0
    if not 1 <= value <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of seconds from 1 on")
    return value
