"""Commands beside the pipeline: `python -m pisces --help`."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pisces.config.schema import PARAMS, lay_over, load_params, read_yaml
from pisces.core.files import read_json, write_csv
from pisces.run import console

if TYPE_CHECKING:
    import pandas

PRESETS = Path("presets")
PIS, PUBLISHED = Path("plots/pis.csv"), Path("plots/published.csv")


def preset(name: str | None, data: str | None) -> None:
    """Lays presets/<name>.yaml, and the path of a data file, on params.yaml, keeping its comments."""
    if not name and not data:
        raise ValueError("name a preset, a data file with --data, or both")
    overlay = {}
    if name:
        path = PRESETS / f"{name}.yaml"
        if not path.is_file():
            raise ValueError(
                f"preset {name!r} is unknown; there are {', '.join(sorted(p.stem for p in PRESETS.glob('*.yaml')))}"
            )
        overlay = read_yaml(path)
    if data:
        if not Path(data).is_file():
            raise FileNotFoundError(
                f"{data} does not exist; give the path of an HDF5 file in the RML2018.01A layout, or of RML2016.10a_dict.pkl"
            )
        overlay.setdefault("data", {})["path"] = str(Path(data).resolve())
    lay_over(PARAMS, overlay)
    print(
        f"changed {PARAMS}: see git diff {PARAMS}; back to the committed one with git checkout {PARAMS}"
    )


def summary() -> None:
    """Prints the headline numbers of the last run and where its pictures lie."""
    paths = [Path("metrics/evaluate.json"), Path("metrics/pis.json")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; make it with dvc repro")
    evaluation, scores = map(read_json, paths)
    print("\nTest accuracy, with 95 % intervals")
    for task in ("modulation", "snr", "joint"):
        row = evaluation[task]
        print(
            f"  {task:<11}{100 * row['accuracy']:5.1f} %  ({100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f})"
        )
    print(
        "\nPerturbation Impact Score (joint), and what it has over the same number of random pixels, with 95 % intervals"
    )
    for row in _largest(_pis_table(), scores):
        interval = f"({row['pis_ci_low']:.2f} to {row['pis_ci_high']:.2f})"
        excess = (
            f"{row['excess']:+.2f} ({row['excess_ci_low']:+.2f} to {row['excess_ci_high']:+.2f})"
        )
        print(
            f"  {row['view']:<13}{row['mask']:<7}{row['level_percent']:>3g} %  {row['pis']:6.2f}  {interval:<18} excess {excess}"
        )
    print("\nTables: metrics/*.json, plots/*.csv. Pictures:")
    for picture in sorted(Path("plots").glob("*.png")):
        print(f"  {picture}")


def _pis_table() -> "pandas.DataFrame":
    import pandas

    if not PIS.is_file():
        raise FileNotFoundError(f"{PIS} does not exist; make it with dvc repro pis")
    return pandas.read_csv(PIS, dtype={"mask": str})  # some masks are named by numbers


def _largest(rows: "pandas.DataFrame", scores: dict[str, dict]) -> list[dict]:
    """Joint scores of the table at the largest level of the headline `scores`, of the rule that those are of."""
    levels = [float(name.split("_")[2]) for name, values in scores.items() if "joint_pis" in values]
    rule = "exact" if (rows["rule"] == "exact").any() else "percentile"
    # Both files hold levels to six digits.
    at = (rows["level_percent"] - max(levels, default=0)).abs() <= 1e-5 * rows["level_percent"]
    return rows[(rows["rule"] == rule) & (rows["task"] == "joint") & at].to_dict("records")


def published(task: str) -> None:
    """Holds PIS by the published protocol against ours: writes plots/published.csv and prints it for one task, as Markdown."""
    from pisces.pis import score

    both = score.published(_pis_table())
    write_csv(PUBLISHED, both)
    print(_markdown(both[both["task"] == task].drop(columns="task")))
    print(f"\n{task} accuracy; all tasks in {PUBLISHED}")


def _markdown(rows: "pandas.DataFrame") -> str:
    cells = [
        [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
        for row in rows.itertuples(index=False)
    ]
    lines = [list(rows), ["---"] * len(rows.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def export_png(target: Path, view: str | None, frames_per_cell: int | None) -> None:
    """Writes <MODULATION>/SNR_<dB>/<frame>.png folders of one view, drawn as `draw.*` says."""
    from pisces.inputs import binning, export
    from pisces.inputs.drawing import Drawing
    from pisces.inputs.settings import DrawSettings

    if target.exists():
        raise ValueError(
            f"{target} exists already; name a new directory, which will hold the images and nothing else"
        )
    if frames_per_cell is not None and frames_per_cell < 1:
        raise ValueError(f"--frames-per-cell {frames_per_cell} must be 1 or more")
    root = Path("data/constellations")
    render = binning.settings(root)
    if view not in (None, *render.views):
        raise ValueError(
            f"--view {view} is not among the views rendered: {', '.join(render.views)}; add it to render.views"
        )
    one = replace(render, views=(view or render.views[0],))
    drawing = Drawing(one, load_params().draw.to(DrawSettings))
    print(f"wrote {export.export_png(root, target, drawing, frames_per_cell)} images to {target}")


def sync() -> None:
    """Imports metrics/*.json into MLflow, which a stage that DVC took from its run cache did not log."""
    from pisces.run import tracking

    print(f"logged {tracking.sync(Path('metrics'))} numbers from metrics/*.json")


def ui() -> None:
    """Opens MLflow on the loopback interface."""
    from pisces.run import tracking

    command = tracking.ui_command()
    os.execve(command[0], command, os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pisces", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    laying = commands.add_parser("preset", help=preset.__doc__)
    laying.add_argument("name", nargs="?", help="a file of presets/, without .yaml")
    laying.add_argument(
        "--data", help="an HDF5 file in the RML2018.01A layout, or RML2016.10a_dict.pkl"
    )
    commands.add_parser("summary", help=summary.__doc__)
    comparing = commands.add_parser("published", help=published.__doc__)
    comparing.add_argument(
        "--task", choices=("joint", "modulation", "snr"), default="joint", help="default: joint"
    )
    exporting = commands.add_parser("export-png", help=export_png.__doc__)
    exporting.add_argument("target", type=Path, help="a new directory")
    exporting.add_argument("--view", help="default: the first of render.views")
    exporting.add_argument(
        "--frames-per-cell",
        type=int,
        help="the first so many of each (modulation, SNR); default: all",
    )
    commands.add_parser("sync", help=sync.__doc__)
    commands.add_parser("ui", help=ui.__doc__)
    arguments = vars(parser.parse_args())
    command = globals()[arguments.pop("command").replace("-", "_")]
    command(**arguments)


if __name__ == "__main__":
    console.run(main)
