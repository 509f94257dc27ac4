"""All pictures by name, and what each is made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pisces.core.snr_label import SnrLabel, convention_in
from pisces.report import (
    accuracy,
    attribution,
    attribution_measures,
    captions,
    ceiling,
    counterfactuals,
    data,
    pis,
    pis_cells,
    pis_regions,
    pis_removal,
    reliability,
)
from pisces.report.families import by_family

if TYPE_CHECKING:
    from pisces.inputs.sheet import Sheet  # which loads torch

Tables = Mapping[str, pd.DataFrame]
Arrays = Mapping[str, np.ndarray]


class Run(NamedTuple):
    """What tables and arrays do not say of the run that made them."""

    card: Mapping[str, Any]
    """models/model.json."""
    source: str
    """Name of the data file or folder."""
    images: pis_regions.Images
    """Those that were masked."""


def of_data(
    audit: pd.DataFrame, spectrum: pd.DataFrame, sheet: "Sheet", source: str
) -> dict[str, Figure]:
    """The pictures that are seen before training.

    Args:
        audit: plots/audit.csv.
        spectrum: plots/audit_spectrum.csv.
        sheet: frames to be shown.
        source: name of the data file or folder.
    """
    snr_label = data.convention_of(audit)
    constellations = data.constellations(*sheet, snr_label)
    figures = {"audit": data.audit(audit, spectrum), "constellations": constellations}
    about = captions.of_data(source, snr_label)
    return {name: captions.add(figure, about) for name, figure in figures.items()}


def of_results(tables: Tables, arrays: Mapping[str, Arrays], run: Run) -> dict[str, Figure]:
    """All other pictures.

    Args:
        tables: each of `needed.TABLES`.
        arrays: each of `needed.ARRAYS`.
        run: which model and data they are of.

    Returns:
        Name of a picture -> figure. What must be known to read one, such as a bypassed denoiser, is
        in its caption, as are the model and the data.
    """
    predictions, scores, examples = (
        arrays[name] for name in ("predictions", "pis", "attribution_examples")
    )
    turned = arrays["counterfactual_examples"]
    sheet, snr_label = arrays["perturbations_sheet"], convention_in(predictions)
    masked = dict(zip(sheet["names"].tolist(), sheet["taken"], strict=True))
    figures = {
        # In training nothing was bypassed.
        "training": accuracy.training(tables["training"]),
        **_noted(_of_test(tables, predictions), predictions),
        **_noted(_of_pis(tables, scores, predictions, run.images), scores),
        "pis_redraw": _removals(tables["pis_redraw"], str(scores["redraw_note"])),
        **_noted(_of_attribution(tables, examples, snr_label), examples),
        **_noted({"counterfactuals": counterfactuals.counterfactuals(turned, snr_label)}, turned),
    }
    about = captions.of_model(run.card)
    of_model = {name: captions.add(figure, about) for name, figure in figures.items()}

    # What a mask takes depends on no model.
    masks = pis.perturbations(sheet["images"], masked, sheet["titles"].tolist(), snr_label)
    about = captions.of_data(run.source, snr_label, _classes(predictions))
    every = of_model | {"perturbations": masks}
    return {name: captions.add(figure, about) for name, figure in every.items()}


def _noted(figures: dict[str, Figure], arrays: Arrays) -> dict[str, Figure]:
    """The figures with the note that their stage left beside its arrays."""
    note = str(arrays["note"])
    return {name: captions.add(figure, note) for name, figure in figures.items()}


def _classes(predictions: Arrays) -> tuple[int, int]:
    return len(predictions["modulations"]), len(predictions["snrs_db"])


def _of_test(tables: Tables, predictions: Arrays) -> dict[str, Figure]:
    """What the test part shows: predictions, accuracies and how far they are from the ceiling."""
    scores = tables["per_class"]
    modulation_scores = scores[scores["task"] == "modulation"]
    source = str(predictions["snr_source"])
    snr_label = convention_in(predictions)
    return {
        "accuracy_by_snr": accuracy.accuracy_by_snr(
            tables["accuracy_by_snr"], _classes(predictions), snr_label
        ),
        "per_class": accuracy.per_class(modulation_scores),
        "snr_estimate": accuracy.snr_estimate(tables["snr_estimate"], source, snr_label),
        "reliability": reliability.diagram(tables["reliability"]),
        "confusion_modulation": accuracy.confusion(
            predictions["modulation_true"],
            predictions["modulation_pred"],
            by_family(predictions["modulations"].tolist()),
            "modulation",
        ),
        "confusion_snr": accuracy.confusion(
            predictions["snr_true_db"],
            predictions["snr_pred_db"],
            predictions["snrs_db"].tolist(),
            "SNR (dB)" if snr_label == "power" else "SNR label",
            rising=True,
        ),
        "ceiling": ceiling.ceiling(tables["ceiling"], snr_label),
    }


def _of_pis(
    tables: Tables, scores: Arrays, predictions: Arrays, images: pis_regions.Images
) -> dict[str, Figure]:
    rows, classes = tables["pis"], _classes(predictions)
    baseline = {task: float(scores[f"{task}_baseline"].mean()) for task in rows["task"].unique()}
    by_cell = pis_cells.Scores(
        tables["pis_by_cell"], tables["pis_by_modulation"], tables["pis_by_snr"], rows
    )
    return {
        "pis": pis.scores(rows),
        "pis_regions": pis_regions.regions(rows, images),
        "degradation": pis.degradation(rows, baseline, classes),
        "pis_heatmap": pis_cells.heatmap(by_cell, snr_label=convention_in(predictions)),
    }


def _removals(rows: pd.DataFrame, note: str) -> Figure:
    """Its own note says what was redrawn, and whether other views are held."""
    return captions.add(pis_removal.removals(rows), note)


def _of_attribution(tables: Tables, examples: Arrays, snr_label: SnrLabel) -> dict[str, Figure]:
    measured, of_curves = tables["attribution"], tables["attribution_curves"]
    joined = attribution_measures.join_checks(measured, tables["attribution_checks"])
    figures = {
        "attribution": attribution_measures.measures(joined),
        "attribution_curves": attribution_measures.curves(of_curves, measured),
    }
    for task in ("modulation", "snr"):
        shown = attribution.unpack_examples(examples, task)
        figures[f"attribution_{task}"] = attribution.examples(shown, snr_label)
    return figures
