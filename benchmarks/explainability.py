"""What the explanations of several runs have in common: fills docs/results/explainability.md.

    python -m benchmarks.explainability . ../seed2 ../seed3

Each folder is a copy of the repository in which the pipeline ran, with a `base.seed` of its own, so
that frames, split and start differ. A finding is what every run found; figures are the mean over
runs with the least and the largest of them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.pages import table, write_between

PAGE = Path("docs/results/explainability.md")
MASKS = ("<!-- masks -->\n", "<!-- end of masks -->\n")
METHODS = ("<!-- methods -->\n", "<!-- end of methods -->\n")
CHECKS = ("<!-- checks -->\n", "<!-- end of checks -->\n")
SIGNIFICANT = 0.05
ALL_WEIGHTS = 1.0


def read(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """The table `plots/<name>.csv` of every run, with a column `run`."""
    tables = [pd.read_csv(folder / f"plots/{name}.csv") for folder in folders]
    return pd.concat([one.assign(run=number) for number, one in enumerate(tables)])


def over_runs(values: pd.Series, scale: float = 1, form: str = ".2f") -> str:
    """Mean, least and largest of one figure of every run."""
    mean, least, most = (scale * one for one in (values.mean(), values.min(), values.max()))
    return f"{mean:{form}} ({least:{form}} to {most:{form}})"


def name_of(rule: str, mask: str, level_percent: float) -> str:
    """In words: brightest or dimmest pixels by their share, regions by their kind and number."""
    return f"{rule} {mask}" if pd.isna(level_percent) else f"{mask} {level_percent:g} %"


def masks(found: pd.DataFrame) -> str:
    """The exact masks and regions that differ from their control in every run, as a table.

    Below it stands how large an excess could have been missed.

    Args:
        found: `pis` of every run.

    Returns:
        Markdown.
    """
    heads = found[(found["rule"] != "percentile") & found["task"].isin(["modulation", "snr"])]
    rows = []
    columns = ["view", "task", "rule", "mask", "level_percent"]
    for (view, task, *mask), of_mask in heads.groupby(columns, dropna=False, sort=False):
        same_sign = of_mask["excess"].gt(0).all() or of_mask["excess"].lt(0).all()
        if same_sign and (of_mask["p_count_holm"] < SIGNIFICANT).all():
            row = {"head": task, "view": view, "mask": name_of(*mask)}
            row["of the lit pixels, %"] = f"{100 * of_mask['fraction_lit'].mean():.0f}"
            row["points lost"] = over_runs(of_mask["accuracy_drop"], 100, ".1f")
            row["PIS"] = over_runs(of_mask["pis"])
            row["control"] = over_runs(of_mask["control_count_pis"])
            row["equal mass as well"] = _yes((of_mask["p_mass_holm"] < SIGNIFICANT).all())
            rows.append(row)

    runs = heads["run"].nunique()
    count, windows = len(heads) // runs, (heads["rule"] == "window").sum() // runs
    detectable = 100 * heads["detectable_count"]
    return (
        f"{table(rows)}\nOf {count} pairs of a mask and a head, {windows} of them windows, "
        f"{len(rows)} differ from their control in every run. A run finds a loss of "
        f"{detectable.median():.1f} points beyond the control (median over masks, "
        f"{detectable.min():.1f} to {detectable.max():.1f}) with a chance of 80 %.\n"
    )


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def methods(found: pd.DataFrame) -> str:
    """The measures of every attribution method, one head after the other, as a table."""
    columns = {
        "deletion_area": ("deletion area, %", 100, ".1f"),
        "insertion_area": ("insertion area, %", 100, ".1f"),
        "agreement": ("agreement with brightness", 1, ".2f"),
        "sensitivity": ("sensitivity", 1, ".2f"),
    }
    rows = []
    for (task, method), of_method in found.groupby(["task", "method"], sort=False):
        row = {"head": task, "method": method.replace("_", " ")}
        for measure, (column, scale, form) in columns.items():
            values = of_method.loc[of_method["measure"] == measure, "value"]
            row[column] = over_runs(values, scale, form)
        rows.append(row)
    return table(rows)


def checks(found: pd.DataFrame) -> str:
    """Correlations with the maps of control models, and whether a pattern survives, as a table."""
    rows = []
    for (task, method), of_method in found.groupby(["task", "method"], sort=False):
        row = {"head": task, "pattern": method.replace("_", " ")}
        for check, title in (("weights", "random weights"), ("labels", "shuffled labels")):
            values = of_method[(of_method["check"] == check) & (of_method["share"] == ALL_WEIGHTS)]
            verdicts = "/".join(values["survives"])
            row[title] = f"{over_runs(values['correlation'])}, {verdicts}"
        rows.append(row)
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="copies in which the pipeline ran")
    folders = parser.parse_args().folders
    write_between(PAGE, *MASKS, masks(read(folders, "pis")))
    write_between(PAGE, *METHODS, methods(read(folders, "attribution")))
    write_between(PAGE, *CHECKS, checks(read(folders, "attribution_checks")))
    print(f"wrote {PAGE} from {len(folders)} runs")


if __name__ == "__main__":
    main()
