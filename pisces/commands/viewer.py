"""The commands `sync` and `ui`: what MLflow shows."""

import argparse
import os

from pisces.commands.help_texts import texts_of
from pisces.core.texts import counted

MOST_NAMES = 5
"""Of missing files in a line."""


def add_sync(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `sync` to the commands of a parser."""
    syncing = commands.add_parser("sync", **texts_of(sync))
    syncing.set_defaults(function=sync)
    words = "an experiment of DVC or a revision; default: the workspace"
    syncing.add_argument("names", nargs="*", metavar="EXP", help=words)


def add_ui(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `ui` to the commands of a parser."""
    commands.add_parser("ui", **texts_of(ui)).set_defaults(function=ui)


def sync(names: list[str]) -> None:
    """Shows results in MLflow that DVC has and no stage logged, as those from its run cache."""
    from pisces.run import sync as importing

    for one in importing.sync(names):
        new = f"logged {counted(one.numbers, 'number')} and {counted(one.files, 'file')}"
        said = new if one.numbers or one.files else "all there already"
        print(f"{one.name} -> {one.run}: {said}")
        if one.missing:
            more = f" and {len(one.missing) - MOST_NAMES} more"
            some = ", ".join(one.missing[:MOST_NAMES])
            print(f"  without {some}{more if len(one.missing) > MOST_NAMES else ''}, which neither")
            print("  git nor DVC's cache holds as the stage wrote it")


def ui() -> None:
    """Opens MLflow on the loopback interface."""
    from pisces.run import mlflow_place
    from pisces.run import sync as importing

    command, variables = mlflow_place.ui_command()
    address, hidden = importing.before_ui()
    if hidden:
        print(f"MLflow does not show {hidden}; see python -m pisces sync --help")
    print(f"open {address}", flush=True)
    os.execve(command[0], command, os.environ | variables)
