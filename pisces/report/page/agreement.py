"""Whether all that is on the page is of one model: what contradicts the predictions, in lines.

Whatever file says which stage read what, numbers have to agree where two stages measured the same.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pisces.core.tasks import HEADS, TASKS
from pisces.report.page.sources import Sources

ROUNDED = 2e-5
"""Of shares of 1, which tables hold to six significant digits."""
FEW, FEWEST = 0.02, 2
"""Share of the frames, and frames, that one model may predict otherwise in another precision."""


def contradictions(sources: Sources) -> list[str]:
    """Lines that name each file which is not of the model and the frames of the others."""
    if "predictions" not in sources.arrays:
        return []
    found: list[str] = []
    for check in CHECKS:
        try:
            found += check(sources)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            found.append(f"{check.__doc__} cannot be compared with data/predictions.npz: {error!r}")
    return found


def _other(path: str, stage: str, what: str) -> str:
    return (
        f"{path} is of another model or other frames than data/predictions.npz: {what}; "
        f"make it again with dvc repro {stage}"
    )


def _right(sources: Sources) -> dict[str, np.ndarray]:
    """Task -> whether each test frame was recognised, bool (n,)."""
    arrays = sources.arrays["predictions"]
    modulation = arrays["modulation_true"] == arrays["modulation_pred"]
    snr = arrays["snr_true_db"] == arrays["snr_pred_db"]
    return {"modulation": modulation, "snr": snr, "joint": modulation & snr}


def _metrics(sources: Sources) -> Iterator[str]:
    """metrics/evaluate.json"""
    if "evaluate" not in sources.metrics:
        return
    for task, right in _right(sources).items():
        said = sources.metrics["evaluate"][task]["accuracy"]
        if abs(said - right.mean()) > ROUNDED:
            what = f"{task} accuracy {said:.4f} and {right.mean():.4f}"
            yield _other("metrics/evaluate.json", "evaluate", what)
            return


def _by_snr(sources: Sources) -> Iterator[str]:
    """plots/accuracy_by_snr.csv"""
    if "accuracy_by_snr" not in sources.tables:
        return
    labels, right = sources.arrays["predictions"]["snr_true_db"], _right(sources)
    for row in sources.tables["accuracy_by_snr"].to_dict("records"):
        of_snr = labels == row["snr_db"]
        for task in TASKS:
            accuracy = right[task][of_snr].mean() if of_snr.any() else np.nan
            if not abs(accuracy - row[task]) <= ROUNDED:
                what = f"{task} accuracy at SNR {row['snr_db']:g} {row[task]:.4f}, {accuracy:.4f}"
                yield _other("plots/accuracy_by_snr.csv", "evaluate", what)
                return


def _ceiling(sources: Sources) -> Iterator[str]:
    """plots/ceiling.csv"""
    if "ceiling" not in sources.tables:
        return
    rows = sources.tables["ceiling"]
    labels, right = sources.arrays["predictions"]["snr_true_db"], _right(sources)
    for row in rows[rows["series"] == "model"].to_dict("records"):
        accuracy = right[row["task"]][labels == row["snr_db"]].mean()
        if not abs(accuracy - row["accuracy"]) <= ROUNDED:
            said = f"{row['task']} accuracy at SNR {row['snr_db']:g}"
            what = f"{said} {row['accuracy']:.4f}, {accuracy:.4f}"
            yield _other("plots/ceiling.csv", "limits", what)
            return


def _per_class(sources: Sources) -> Iterator[str]:
    """plots/per_class.csv"""
    if "per_class" not in sources.tables:
        return
    rows, right = sources.tables["per_class"], _right(sources)["modulation"]
    truth = sources.arrays["predictions"]["modulation_true"]
    for row in rows[rows["task"] == "modulation"].to_dict("records"):
        of_class = truth == row["label"]
        recall = right[of_class].mean() if of_class.any() else 0.0
        if abs(recall - row["recall"]) > ROUNDED:
            what = f"recall of {row['label']} {row['recall']:.4f} and {recall:.4f}"
            yield _other("plots/per_class.csv", "evaluate", what)
            return


def _pis_frames(sources: Sources) -> Iterator[str]:
    """data/pis.npz"""
    predicted, scores = sources.arrays["predictions"], sources.arrays.get("pis")
    if scores is None or str(predicted["note"]):  # of a denoiser that PIS leaves in its place
        return
    rows = _rows_of(predicted["frame"], scores["frame"])
    if (rows < 0).any():
        yield _other("data/pis.npz", "pis", "it has frames that were not predicted")
        return
    for task, right in _right(sources).items():
        differing = right[rows] != scores[f"{task}_baseline"]
        if _are_many(differing):
            n = np.count_nonzero(differing)
            what = f"{n} of {len(rows)} frames are right or wrong in {task} otherwise"
            yield _other("data/pis.npz", "pis", what)
            return


def _pis_tables(sources: Sources) -> Iterator[str]:
    """plots/pis.csv"""
    scores = sources.arrays.get("pis")
    if scores is None or "pis" not in sources.tables:
        return
    for row in sources.tables["pis"].to_dict("records"):
        baseline = scores[f"{row['task']}_baseline"]
        before = row["accuracy"] + row["accuracy_drop"]
        if abs(before - baseline.mean()) > ROUNDED or row["n"] != len(baseline):
            yield (
                "plots/pis.csv is of another model or other frames than data/pis.npz: "
                f"{row['task']} accuracy {before:.4f} of {row['n']:.0f} frames and "
                f"{baseline.mean():.4f} of {len(baseline)}; make both again with dvc repro pis"
            )
            return


def _classes(sources: Sources) -> Iterator[str]:
    """plots/pis_by_modulation.csv, plots/pis_by_cell.csv and plots/audit.csv"""
    known = set(sources.arrays["predictions"]["modulations"].tolist())
    stages = {"pis_by_modulation": "pis", "pis_by_cell": "pis", "audit": "split_hdf5"}
    for name, stage in stages.items():
        if name in sources.tables:
            named = set(sources.tables[name]["modulation"])
            if named != known:
                what = f"modulations {', '.join(sorted(named ^ known))} are in one of them alone"
                yield _other(f"plots/{name}.csv", stage, what)


def _explorer(sources: Sources) -> Iterator[str]:
    """data/explorer.npz"""
    explored, predicted = sources.arrays.get("explorer"), sources.arrays["predictions"]
    if explored is None:
        return
    digest = sources.card.get("weights_sha256")
    if digest and str(explored["weights_sha256"]) != digest:
        yield (
            "data/explorer.npz is of another model than models/model.json: its weights are "
            f"{str(explored['weights_sha256'])[:12]}, not {digest[:12]}; "
            "make it again with dvc repro explore"
        )
    rows = _rows_of(predicted["frame"], explored["frame"])
    if (rows < 0).any():
        yield _other("data/explorer.npz", "explore", "it has frames that were not predicted")
        return
    for head in HEADS:
        whole = explored[f"{head}_prob"][:, 0]
        differing = whole.argmax(1) != predicted[f"{head}_prob"][rows].argmax(1)
        if _are_many(differing) and not str(predicted["note"]):
            what = f"{np.count_nonzero(differing)} of {len(rows)} frames have another {head}"
            yield _other("data/explorer.npz", "explore", what)
            return


CHECKS: tuple[Callable[[Sources], Iterator[str]], ...] = (
    _metrics,
    _by_snr,
    _ceiling,
    _per_class,
    _pis_frames,
    _pis_tables,
    _classes,
    _explorer,
)


def _are_many(differing: np.ndarray) -> bool:
    """Whether so many frames, bool (n,), differ that they are of another model."""
    return int(np.count_nonzero(differing)) > max(FEWEST, FEW * len(differing))


def _rows_of(index: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Row of each of some frames (k, 3) in an index (n, 3), -1 where it is not there: (k,)."""
    place = {tuple(frame): row for row, frame in enumerate(index.tolist())}
    return np.array([place.get(tuple(frame), -1) for frame in frames.tolist()], int)
