"""The charts of the page, as Vega-Lite draws them, in the colours of the pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.report import attribution, ceiling, data, pis, style
from pisces.report.families import by_family, families_of
from pisces.report.page.colours import hex_of, shades
from pisces.report.page.sources import Sources
from pisces.report.style import Mark

Chart = dict[str, Any]
Spec = dict[str, Any]

HEIGHT = 300
"""Pixels; a chart is as wide as the screen."""
PERCENT: Spec = {"format": ".0%", "tickCount": 5}
DASHED = {"ceiling", "matched-filter bound", "chance", "cumulants", "noise floor", "m2m4"}


def all_of(sources: Sources, snr_label: SnrLabel) -> dict[str, Chart]:
    """Name of a chart -> its spec, rows and filters; without those whose table is missing."""
    makers = {
        "accuracy_by_snr": _accuracy_by_snr,
        "ceiling": _ceiling,
        "reliability": _reliability,
        "degradation": _degradation,
        "attribution_curves": _attribution_curves,
        "audit": _audit,
        "audit_spectrum": _audit_spectrum,
        "training": _training,
    }
    tables = sources.tables
    needs = {"degradation": "pis"}
    found = {
        name: make(tables[needs.get(name, name)], snr_label)
        for name, make in makers.items()
        if needs.get(name, name) in tables
    }
    return found | {"confusion": _confusion(sources)}


# Parts of specs


def _chart(
    spec: Spec, rows: pd.DataFrame, caption: str, filters: Sequence[dict[str, Any]] = ()
) -> Chart:
    full = {"width": "container", "height": HEIGHT} | spec
    return {"spec": full, "rows": records(rows), "filters": list(filters), "caption": caption}


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: without NaN and infinities."""
    finite = rows.replace([np.inf, -np.inf], np.nan)
    plain = finite.astype(object).where(finite.notna(), None)
    names = list(map(str, plain.columns))
    return [dict(zip(names, row, strict=True)) for row in plain.itertuples(index=False, name=None)]


def _filter(field: str, label: str, options: Mapping[str, str]) -> dict[str, Any]:
    listed = [{"value": value, "label": text} for value, text in options.items()]
    return {"field": field, "label": label, "options": listed}


def _x(field: str, title: str, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _share(field: str, title: str) -> Spec:
    scale = {"domain": [0, 1]}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": PERCENT,
        "scale": scale,
    }


def _colour(marks: Mapping[str, Mark], field: str = "series") -> Spec:
    labels = [mark.label for mark in marks.values()]
    colours = [hex_of(mark.colour) for mark in marks.values()]
    scale = {"domain": labels, "range": colours}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


def _lines(
    x: Spec, y: Spec, marks: Mapping[str, Mark], intervals: bool = True, **more: Any
) -> Spec:
    """Lines with markers.

    Args:
        x: of the points.
        y: of the points.
        marks: series -> its label and colour.
        intervals: whether the columns `ci_low` and `ci_high` are drawn behind the lines.
        more: encodings of the lines alone.
    """
    colour = _colour(marks)
    # In the same legend as the colour, since some greys are alike.
    shape = colour | {"scale": {"domain": colour["scale"]["domain"]}}
    tooltip = [
        {"field": "series", "title": " "},
        {"field": x["field"], "title": x["title"]},
        {"field": y["field"], "title": y["title"], "format": ".3f"},
    ]
    if intervals:
        tooltip.append({"field": "ci_low", "title": "interval from", "format": ".3f"})
        tooltip.append({"field": "ci_high", "title": "to", "format": ".3f"})
    band = {
        "mark": {"type": "area", "opacity": 0.2, "clip": True},
        "encoding": {"y": y | {"field": "ci_low"}, "y2": {"field": "ci_high"}},
    }
    line = {"mark": {"type": "line", "clip": True}, "encoding": {"y": y, **more}}
    points = {
        "mark": {"type": "point", "filled": True, "size": 45, "clip": True},
        "encoding": {"y": y, "shape": shape, "tooltip": tooltip},
    }
    layers = [band, line, points] if intervals else [line, points]
    return {"encoding": {"x": x, "color": colour}, "layer": layers}


def _labelled(rows: pd.DataFrame, column: str, marks: Mapping[str, Mark]) -> pd.DataFrame:
    """The rows of known series, with the label of each as `series`."""
    known = rows[rows[column].isin(list(marks))]
    return known.assign(series=[marks[name].label for name in known[column]])


# Accuracy


def _snr_axis(rows: pd.DataFrame, snr_label: SnrLabel) -> Spec:
    labels = sorted(set(rows["snr_db"]))
    return _x("snr_db", style.snr_axis(snr_label), axis={"values": labels}, scale={"nice": False})


def _accuracy_by_snr(rows: pd.DataFrame, snr_label: SnrLabel) -> Chart:
    parts = []
    for task, mark in style.TASKS.items():
        columns = {task: "accuracy", f"{task}_ci_low": "ci_low", f"{task}_ci_high": "ci_high"}
        part = rows[["snr_db", "frames", *columns]].rename(columns=columns)
        parts.append(part.assign(series=mark.label))
    spec = _lines(_snr_axis(rows, snr_label), _share("accuracy", "Accuracy"), style.TASKS)
    frames = style.sizes(rows["frames"])
    return _chart(spec, pd.concat(parts), f"Bands: {style.WILSON}, {frames} an SNR.")


def _ceiling(rows: pd.DataFrame, snr_label: SnrLabel) -> Chart:
    marks = style.marks(ceiling.CEILING_LABELS, style.ESTIMATOR_COLOURS)
    # Greys of paper, seen on dark screens as well.
    marks = {
        name: mark._replace(colour=style.ON_SCREEN.get(mark.colour, mark.colour))
        for name, mark in marks.items()
    }
    shown = _labelled(rows, "series", marks)
    dashed = [label for name, label in ceiling.CEILING_LABELS.items() if name in DASHED]
    condition = {"test": {"field": "series", "oneOf": dashed}, "value": [5, 3]}
    dash = {"condition": condition, "value": [1, 0]}
    spec = _lines(
        _snr_axis(rows, snr_label), _share("accuracy", "Accuracy"), marks, strokeDash=dash
    )
    tasks = {task: style.TASKS[task].label for task in ("modulation", "snr")}
    meanings = [
        f"{ceiling.CEILING_LABELS[name]}: {meaning}."
        for name, meaning in ceiling.MEANINGS.items()
        if (rows["series"] == name).any()
    ]
    return _chart(spec, shown, " ".join(meanings), [_filter("task", "Of the", tasks)])


def _reliability(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    marks = style.TASKS
    shown = _labelled(rows, "task", marks)
    spec = _lines(_share("confidence", "Confidence"), _share("accuracy", "Accuracy"), marks)
    chance = hex_of(style.ESTIMATOR_COLOURS["chance"])
    diagonal = {
        "data": {"values": [{"at": 0}, {"at": 1}]},
        "mark": {"type": "line", "strokeDash": [2, 3], "color": chance},
        "encoding": {
            "x": {"field": "at", "type": "quantitative"},
            "y": {"field": "at", "type": "quantitative"},
            "color": {"value": chance},
        },
    }
    spec["layer"].append(diagonal)
    kinds = {name: name for name in dict.fromkeys(rows["probabilities"])}
    caption = f"Bands: {style.WILSON}. On the dotted line a probability is what it says."
    return _chart(spec, shown, caption, [_filter("probabilities", "Probabilities", kinds)])


def _confusion(sources: Sources) -> Chart:
    """Without rows, which follow from the SNR that is chosen on the page."""
    predicted = sources.arrays.get("predictions")
    known = [] if predicted is None else by_family(predicted["modulations"].tolist())
    axis = {"type": "nominal", "sort": known}
    colour = {
        "field": "share",
        "type": "quantitative",
        "title": "Of the class (%)",
        "scale": {"domain": [0, 100], "range": shades(style.BRIGHTNESS, 9)},
        "legend": {"orient": "bottom", "gradientLength": 160},
    }
    spec = {
        "height": max(HEIGHT, 24 * len(known)),
        "mark": "rect",
        "encoding": {
            "x": axis | {"field": "predicted", "title": "Predicted", "axis": {"labelAngle": -60}},
            "y": axis | {"field": "actual", "title": "True"},
            "color": colour,
            "tooltip": [
                {"field": "actual", "title": "True"},
                {"field": "predicted", "title": "Predicted"},
                {"field": "share", "title": "Of the class (%)", "format": ".1f"},
                {"field": "count", "title": "Frames"},
                {"field": "total", "title": "of"},
            ],
        },
    }
    caption = "A row is a true class, and its colours are shares of its test frames."
    return {"spec": {"width": "container"} | spec, "rows": [], "filters": [], "caption": caption}


# Masks and attributions


def _degradation(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    exact = rows[rows["rule"] == "exact"] if (rows["rule"] == "exact").any() else rows
    shown = _labelled(exact, "mask", pis.MASKS)
    before = (shown["accuracy"] + shown["accuracy_drop"]).groupby(
        [shown["view"], shown["task"], shown["mask"]]
    )
    start = before.first().rename("accuracy").reset_index()
    start = _labelled(start, "mask", pis.MASKS).assign(fraction_lit=0.0)
    every = pd.concat([start, shown])
    columns = ["view", "task", "series", "fraction_lit", "accuracy"]
    every = every[columns]

    x = _share("fraction_lit", "Lit pixels of the view that are masked")
    x["scale"] = {"type": "symlog", "constant": 0.01, "domain": [0, 1]}
    x["axis"] = {"format": ".0%", "values": [0, 0.01, 0.05, 0.2, 0.5, 1]}
    spec = _lines(x, _share("accuracy", "Accuracy"), pis.MASKS, intervals=False)
    views = {name: name for name in dict.fromkeys(rows["view"])}
    tasks = {task: mark.label for task, mark in style.TASKS.items()}
    filters = [_filter("view", "View", views), _filter("task", "Accuracy of", tasks)]
    caption = f"Random pixels are the control; {style.sizes(rows['n'])} frames."
    return _chart(spec, every, caption, filters)


def _attribution_curves(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    shown = _labelled(rows, "method", attribution.METHODS)
    there = set(shown["method"])
    marks = {name: mark for name, mark in attribution.METHODS.items() if name in there}
    x = _x("level_percent", "Lit pixels that went or came (%)")
    x["scale"] = {"type": "symlog", "constant": 1}
    x["axis"] = {"values": sorted(set(rows["level_percent"]))}
    spec = _lines(x, _share("probability", "Probability of the prediction"), marks)
    tasks = {task: style.TASKS[task].label for task in ("modulation", "snr")}
    curves = {"deletion": "deleted", "insertion": "inserted"}
    filters = [_filter("task", "Of the", tasks), _filter("curve", "Pixels are", curves)]
    return _chart(spec, shown, f"Bands: {style.BOOTSTRAP}.", filters)


# Data and training


def _audit(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    snr_label = data.convention_of(rows)
    families = families_of(dict.fromkeys(rows["modulation"]))
    family_of = {name: family for family, members in families.items() for name in members}
    shown = rows.rename(columns={"low_db": "ci_low", "high_db": "ci_high"})
    shown = shown.assign(
        series=[family_of[name] for name in rows["modulation"]],
        true_db=[true_snr_db(label, snr_label) for label in rows["snr_db"]],
    )
    marks = {name: style.FAMILY_MARKS[name] for name in families}
    x = _x("true_db", "SNR that the label stands for (dB)")
    y = {"field": "measured_snr_db", "type": "quantitative", "title": "Measured SNR (dB)"}
    points = {
        "mark": {"type": "point", "filled": True, "size": 40},
        "encoding": {
            "y": y,
            "tooltip": [
                {"field": "modulation", "title": "Modulation"},
                {"field": "true_db", "title": "SNR (dB)"},
                {"field": "measured_snr_db", "title": "Measured (dB)", "format": ".2f"},
                {"field": "n", "title": "Frames"},
            ],
        },
    }
    ends = {"y": y | {"field": "ci_low"}, "y2": {"field": "ci_high"}}
    bars = {"mark": {"type": "rule", "opacity": 0.4}, "encoding": ends}
    spec = {"encoding": {"x": x, "color": _colour(marks)}, "layer": [bars, points]}
    return _chart(
        spec, shown, "A point is a modulation; bars: 16th to 84th percentile of its frames."
    )


def _audit_spectrum(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    marks = {"file": Mark("This file", style.PULSE_COLOURS["This file"], "o")}
    near = rows[rows["rate"].abs() <= data.SPECTRUM_REACH]
    shown = near.rename(columns={"low_db": "ci_low", "high_db": "ci_high"}).assign(
        series="This file"
    )
    x = _x("rate", "Frequency over the symbol rate")
    scale = {"domain": data.SPECTRUM_LIMITS_DB}
    y = {"field": "power_db", "type": "quantitative", "title": "Power (dB)", "scale": scale}
    spec = _lines(x, y, marks)
    spec["layer"].pop()  # so many points are a line
    return _chart(
        spec,
        shown,
        "Mean of the frames of linear modulations, noise taken off. Band: 95 % interval.",
    )


def _training(rows: pd.DataFrame, _snr_label: SnrLabel) -> Chart:
    parts = {"train": "Training", "validation": "Validation"}
    marks = style.marks(parts, style.SCREEN_PART_COLOURS)
    shown = pd.concat(
        rows[["epoch"]].assign(loss=rows[f"{name}_loss"], series=label)
        for name, label in parts.items()
    )
    y = {"field": "loss", "type": "quantitative", "title": "Loss"}
    spec = _lines(_x("epoch", "Epoch", axis={"tickMinStep": 1}), y, marks, intervals=False)
    return _chart(spec, shown, "")
