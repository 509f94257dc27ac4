"""`python -m pisces sweep report`: what came of a sweep."""

import argparse
from pathlib import Path

from pisces.commands.help_texts import texts_of
from pisces.core.files import together, write_bytes, write_tables
from pisces.run.hiding import hide

OUT = Path("build/sweeps")


def add_report(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `report` to the actions of the group `sweep`."""
    reporting = actions.add_parser("report", **texts_of(report))
    reporting.set_defaults(function=report)
    reporting.add_argument("study", help="its name, such as smoke")
    reporting.add_argument(
        "--storage",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; default: PISCES_STORAGE, or else "
        "sweeps.db here",
    )
    reporting.add_argument("--out", type=Path, help=f"a folder; default: {OUT}/STUDY")


def report(action: str, study: str, storage: str | None, out: Path | None) -> None:
    """Writes tables, pictures and a page of a sweep: best trials, what mattered, what failed.

    Args:
        action: the name of this command.
        study: its name in the storage, or the path of its file.
        storage: its address; None for PISCES_STORAGE, or else a file in the repository.
        out: the folder that is written into; None: one of the study's own.
    """
    from pisces.experiments import address, sweep_page, sweep_report
    from pisces.report import captions, saved, sweeps
    from pisces.run import output_folders

    del action
    address.hide_password(storage)
    # Who began it from a file may name that.
    name = Path(study).stem if study.endswith(".yaml") else study
    folder = out or OUT / name
    output_folders.require_writable(folder)
    found = sweep_report.of_study(sweep_report.load(address.read(storage), name))
    figures = sweeps.pictures(found.tables, found.metric, found.epoch_metric, found.maximize)
    for figure in figures.values():
        captions.add(figure, f"Sweep {found.name}, which sought {found.metric}")
    page = sweep_page.page(found, list(figures))

    with together():
        write_tables(folder, found.tables)
        saved.save(figures, folder)
        write_bytes(folder / "report.md", page.encode())

    print(sweep_page.summary(found))
    print(f"wrote {hide(str(folder))}/report.md, tables and pictures")
