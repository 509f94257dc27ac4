"""All pictures by name, and what each is made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pisces.core.snr_label import convention_in
from pisces.report import accuracy, attribution, data, pis, pis_regions, reliability
from pisces.report.style import add_note, snr_axis

Tables = Mapping[str, pd.DataFrame]
Arrays = Mapping[str, np.ndarray]


def of_data(
    audit: pd.DataFrame, spectrum: pd.DataFrame, sheet: tuple[Any, ...]
) -> dict[str, Figure]:
    """The pictures that are seen before training.

    Args:
        audit: plots/audit.csv.
        spectrum: plots/audit_spectrum.csv.
        sheet: arguments of `data.constellations`.
    """
    return {"audit": data.audit(audit, spectrum), "constellations": data.constellations(*sheet)}


def of_results(tables: Tables, arrays: Mapping[str, Arrays]) -> dict[str, Figure]:
    """All other pictures.

    Args:
        tables: each of `needed.TABLES`.
        arrays: each of `needed.ARRAYS`.

    Returns:
        Name of a picture -> figure. What must be known to read one, such as a bypassed denoiser, is
        in its caption.
    """
    predictions, scores, examples = (
        arrays[name] for name in ("predictions", "pis", "attribution_examples")
    )
    sheet = arrays["perturbations_sheet"]
    masked = dict(zip(sheet["names"].tolist(), sheet["taken"], strict=True))
    return {
        # In training nothing was bypassed.
        "training": accuracy.training(tables["training"]),
        **_noted(_of_test(tables, predictions), predictions),
        "perturbations": pis.perturbations(sheet["images"], masked, sheet["titles"].tolist()),
        **_noted(_of_pis(tables, scores, predictions), scores),
        **_noted(_of_attribution(tables, examples), examples),
    }


def _noted(figures: dict[str, Figure], arrays: Arrays) -> dict[str, Figure]:
    """The figures with the note that their stage left beside its arrays."""
    note = str(arrays["note"])
    return {name: add_note(figure, note) for name, figure in figures.items()}


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
            predictions["modulations"].tolist(),
            "modulation",
        ),
        "confusion_snr": accuracy.confusion(
            predictions["snr_true_db"],
            predictions["snr_pred_db"],
            predictions["snrs_db"].tolist(),
            snr_axis(snr_label),
        ),
        "ceiling": accuracy.ceiling(tables["ceiling"], snr_label),
    }


def _of_pis(tables: Tables, scores: Arrays, predictions: Arrays) -> dict[str, Figure]:
    rows, classes = tables["pis"], _classes(predictions)
    snr_label = convention_in(predictions)
    baseline = {task: float(scores[f"{task}_baseline"].mean()) for task in rows["task"].unique()}
    return {
        "pis": pis.scores(rows),
        "pis_regions": pis_regions.regions(rows),
        "degradation": pis.degradation(rows, baseline, classes),
        "pis_heatmap": pis.heatmap(tables["pis_by_cell"], snr_label=snr_label),
    }


def _of_attribution(tables: Tables, examples: Arrays) -> dict[str, Figure]:
    joined = attribution.join_checks(tables["attribution"], tables["attribution_checks"])
    figures = {"attribution": attribution.measures(joined)}
    for task in ("modulation", "snr"):
        shown = attribution.unpack_examples(examples, task)
        figures[f"attribution_{task}"] = attribution.examples(shown)
    return figures
