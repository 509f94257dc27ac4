"""Commands beside the pipeline: `python -m pisces --help`."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pisces.run import signals

if __name__ == "__main__" or sys.argv[0].endswith("/pisces"):
    # Before the other imports, which take a second: Ctrl-C would end them with a traceback.
    signals.catch()

from pisces.commands import (
    comparison,
    deployment,
    explore,
    model_card,
    recordings,
    sweeps,
    viewer,
    weights,
)
from pisces.commands.help_texts import texts_of
from pisces.commands.reference import docs
from pisces.config import presets
from pisces.config.agreement import path_remark, pulse_remark, selected_frames_are_generated
from pisces.config.io import PARAMS, load_params
from pisces.config.presets import Edit
from pisces.config.schema import Params
from pisces.core import yaml
from pisces.core.files import write_csv
from pisces.core.texts import counted
from pisces.run import console, hiding

PUBLISHED = Path("plots/published.csv")
DVC = Path("dvc.yaml")
ANYWHERE = {"predict", "export-model"}
"""Commands that need no repository."""


def preset(name: str | None, data: str | None) -> None:
    """Writes params.yaml from a preset, or changes the path of the data file, or both."""
    if not name and not data:
        raise ValueError("name a preset, a data file with --data, or both")
    path = None
    remark = ""
    if data:
        remark = readable(Path(data))
        path = str(Path(data).resolve())

    if name:
        apply_preset(name, path)
    else:
        presets.apply_overlay(PARAMS, {"data": {"path": path}})

    data_path = load_params().data.path
    print(f"wrote {PARAMS}, whose data.path is {data_path}; see git diff {PARAMS}")
    if remark:
        print(remark)


def readable(data: Path) -> str:
    """What to set for a data file or a folder of labelled recordings, empty where nothing is.

    Raises:
        ValueError, OSError: when it is neither.
    """
    from pisces.acquisition import labels
    from pisces.sources import sharding

    if data.is_dir():
        return f"{data} holds recordings; {labels.advice(labels.labelled(data))}"
    sharding.reader_of(data)
    return ""


def apply_preset(name: str, path: str | None) -> None:
    """Writes params.yaml afresh; one that cannot be read is kept under another name."""
    try:
        # One that is not there has nothing to keep.
        current = yaml.read(PARAMS) if PARAMS.exists() else {}
        unreadable = None
    except ValueError as error:
        current = {}
        unreadable = error

    becoming = presets.chosen(name, path, current)
    if unreadable:
        kept = unused_name(PARAMS.with_name(f"{PARAMS.name}.unreadable"))
        os.replace(PARAMS, kept)
        print(f"{unreadable}; it is kept as {kept}")
        presets.write(becoming)
        return

    edits = presets.edits(current, becoming)
    presets.write(becoming)
    print_edits(edits)


def unused_name(path: Path) -> Path:
    """The path itself, or with the first number behind it that no file has."""
    free = path
    number = 2
    while free.exists():
        free = path.with_name(f"{path.name}.{number}")
        number += 1
    return free


def print_edits(edits: list[Edit]) -> None:
    """Names what has been replaced, so that nothing is lost unseen."""
    if edits:
        print(f"these edits of {PARAMS} are replaced:")
    for edit in edits:
        print(f"  {edit}")


def check() -> None:
    """Checks params.yaml, the presets, the sweeps and the data file, and runs nothing."""
    from pisces.experiments import study

    params = load_params()
    data = check_data(params)
    weights.check_weights(params)
    for name in presets.names():
        presets.on_defaults(presets.overlay(name), f"preset {name}")
    for name in study.names():
        study.read(study.SWEEPS / f"{name}.yaml")

    # Only now: a line of success above an error would read as if all were well.
    print(f"{PARAMS} is valid: {params.train.model} on {params.train.input}")
    print(data)
    for remark in filter(None, [path_remark(params.data.path), pulse_remark(params)]):
        print(f"warning: {remark}")
    print(f"the presets are valid: {', '.join(presets.names())}")
    if study.names():
        print(f"the sweeps are valid: {', '.join(study.names())}")


def check_data(params: Params) -> str:
    """What the data file holds for the params, in words; raises what the stages would."""
    path = Path(params.data.path)
    if params.data.path == params.synthesize.path:
        selected_frames_are_generated(params)
        check_length(params, params.synthesize.samples, "synthesize.samples")
        check_generated_parts(params)
        return f"{path} is made by the stage synthesize"

    from pisces.acquisition import labelled
    from pisces.data import splitting
    from pisces.sources import sharding
    from pisces.sources.settings import Selection

    data, render = params.data.to(Selection), params.render
    reader = labelled.reader_of(data, render.sps, render.carrier_offset_std)
    samples, frames = sharding.selected_frames(data, reader)
    check_length(params, samples, f"data.path = {path}")
    smallest = min(frames, key=lambda cell: frames[cell])
    name = f"{smallest.modulation} at {smallest.snr_db} dB in {path}"
    splitting.part_sizes(frames[smallest], params.stratify.shares, name)
    return (
        f"{path} holds {counted(sum(frames.values()), 'frame')} of {len(frames)} (modulation, SNR)"
    )


def check_generated_parts(params: Params) -> None:
    """Raises ValueError where a cell of generated frames is too small for its three parts."""
    from pisces.data import splitting

    limits = {"synthesize.frames_per_cell": params.synthesize.frames_per_cell}
    if params.data.frames_per_cell:
        limits["data.frames_per_cell"] = params.data.frames_per_cell
    n = min(limits.values())
    keys = " and ".join(key for key, limit in limits.items() if limit == n)
    splitting.part_sizes(n, params.stratify.shares, "each generated (modulation, SNR)", keys)


def forecast() -> None:
    """Prints what a run does with the data file before it trains: how much, and how long."""
    params = load_params()
    if params.data.path == params.synthesize.path:
        print(f"{params.data.path} is made by the stage synthesize")
        return

    from pisces.acquisition import labels
    from pisces.sources import forecast as texts
    from pisces.sources.settings import Selection

    data, path = params.data.to(Selection), Path(params.data.path)
    if path.is_dir():
        chosen = labels.choose(labels.labelled(path), path, data.modulations)
        counts = [(one.label, one.annotation.count) for one in chosen]
        print(texts.of_recordings(path, counts, data.frame_samples))
    else:
        print(texts.forecast(data, len(params.render.views)))


def check_length(params: Params, samples: int, source: str) -> None:
    """Raises ValueError unless every view can be made of frames of this length.

    Args:
        params: of which `render` counts.
        samples: of a frame.
        source: what says how long it is, for the message.
    """
    import torch

    from pisces.inputs import binning
    from pisces.inputs.settings import RenderSettings

    # The length that is allowed is the same for every pulse, and this one needs no file.
    render = replace(params.render.to(RenderSettings), pulse="rrc")
    try:
        binning.bin_frames(torch.ones(1, samples, 2), render)
    except ValueError as error:
        raise ValueError(f"{source} has {counted(samples, 'sample')} a frame: {error}") from None


def summary() -> None:
    """Prints the headline numbers of the last run and where its pictures lie."""
    from pisces.run.summary import summary as text

    print(text())


def experiments() -> None:
    """Prints every DVC experiment: its accuracies, best first, and the params that it changed."""
    from pisces.experiments import table

    print(table.table())


def restore(revision: str) -> None:
    """Brings back the params and results of a commit, and the outputs that DVC's cache has."""
    from pisces.run.restore import restore as bring_back

    restored = bring_back(revision)
    if restored.stashed:
        print("your uncommitted edits of tracked files are kept: see git stash show --patch")
    print(f"brought back {counted(len(restored.records), 'file')} of {revision}")
    print(f"brought back {counted(len(restored.outputs), 'output')} from DVC's cache")
    if restored.missing:
        print("not in the cache, left as they are, and made again by dvc repro:")
        print("".join(f"  {path}\n" for path in restored.missing), end="")


def published(task: str) -> None:
    """Compares PIS by the published protocol with ours: writes plots/published.csv."""
    from pisces.pis import summary as pis_summary
    from pisces.run.summary import published_table, read_scores

    both = pis_summary.published(read_scores())
    write_csv(PUBLISHED, both)
    print(published_table(both[both["task"] == task]))
    print(f"\n{task} accuracy; all tasks and numbers in {PUBLISHED}")


def export_png(target: Path, view: str | None, frames_per_cell: int | None) -> None:
    """Writes <MODULATION>/SNR_<dB>/<frame>.png folders of one view, drawn as `draw.*` says.

    Args:
        target: a new directory.
        view: one of `render.views`; None for the first.
        frames_per_cell: the first so many of each (modulation, SNR), 1 or more; None for all.
    """
    from pisces.inputs import export, rendering
    from pisces.inputs.drawing import Drawing
    from pisces.inputs.settings import DrawSettings

    if target.exists():
        raise ValueError(
            f"{target} exists already; name a new directory, "
            "which will hold the images and nothing else"
        )
    if frames_per_cell is not None and frames_per_cell < 1:
        raise ValueError(f"--frames-per-cell {frames_per_cell} must be 1 or more")
    root = Path("data/constellations")
    render = rendering.read_settings(root)
    if view not in (None, *render.views):
        raise ValueError(
            f"--view {view} is not among the views rendered: {', '.join(render.views)}; "
            "add it to render.views"
        )
    one_view = replace(render, views=(view or render.views[0],))
    drawing = Drawing(one_view, load_params().draw.to(DrawSettings))
    written = export.export_png(root, target, drawing, frames_per_cell)
    print(f"wrote {counted(written, 'image')} to {target}")


PLAIN = (check, forecast, summary, experiments, docs)
"""Commands without arguments."""


class Parser(argparse.ArgumentParser):
    """One that prints no password of what it complains about; its subparsers are such, too."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with the usage and what is wrong."""
        super().error(hiding.hide(message))


def parser() -> argparse.ArgumentParser:
    """Of all commands; a command is a function of this module."""
    top: argparse.ArgumentParser = Parser(prog="python -m pisces", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for function in PLAIN:
        commands.add_parser(function.__name__, **texts_of(function))

    choosing = commands.add_parser("preset", **texts_of(preset))
    choosing.add_argument("name", nargs="?", help="a file of presets/, without .yaml")
    choosing.add_argument(
        "--data",
        help="the HDF5 file of RML2018.01A, the pickle of RML2016.10a or RML2016.10b, unpacked, or "
        "a folder of labelled recordings",
    )

    restoring = commands.add_parser("restore", **texts_of(restore))
    where = "an experiment of DVC or a revision of git; default: the last commit"
    restoring.add_argument("revision", nargs="?", default="HEAD", help=where)

    comparing = commands.add_parser("published", **texts_of(published))
    tasks = ("joint", "modulation", "snr")
    comparing.add_argument("--task", choices=tasks, default="joint", help="default: joint")

    exporting = commands.add_parser("export-png", **texts_of(export_png))
    exporting.add_argument("target", type=Path, help="a new directory")
    exporting.add_argument("--view", help="default: the first of render.views")
    few = "the first so many of each (modulation, SNR); default: all"
    exporting.add_argument("--frames-per-cell", type=int, help=few)

    recordings.add_predict(commands)
    deployment.add_export_model(commands)
    deployment.add_register_model(commands)
    model_card.add_model_card(commands)
    viewer.add_sync(commands)
    viewer.add_ui(commands)
    comparison.add_compare(commands)
    comparison.add_record(commands)
    comparison.add_seeds(commands)
    sweeps.add_sweep(commands)
    explore.add_explore(commands)
    return top


def main() -> None:
    """Runs the command that the command line names."""
    arguments = vars(parser().parse_args())
    name = arguments.pop("command")
    if name not in ANYWHERE:
        require_repository(name)
    command = arguments.pop("function", None) or globals()[name.replace("-", "_")]
    command(**arguments)


def require_repository(name: str) -> None:
    """Raises FileNotFoundError for a command that works on a repository, outside of one."""
    if not (PARAMS.exists() or presets.PRESETS.exists() or DVC.exists()):
        anywhere = ", ".join(sorted(ANYWHERE))
        raise FileNotFoundError(
            f"{name} works on a repository of pisces, and {Path.cwd()} is none, since it holds no "
            f"{PARAMS}: run from the root of the repository; what works anywhere: {anywhere}"
        )


def command_line() -> None:
    """The command `pisces` of an installed package, and `python -m pisces`."""
    sys.excepthook = hiding.print_traceback
    console.run(main)


if __name__ == "__main__":
    command_line()
