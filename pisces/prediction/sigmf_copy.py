"""The SigMF metadata of a recording with what a model says as annotations.

Keys of ours are in the namespace `pisces`, which is declared as an optional extension; `core:label`
and `signal:detail` are those of the specification (sigmf.org, extension signal 1.0.0).
"""

import copy
from typing import Any

from pisces.core.modulations import FAMILIES
from pisces.core.version import VERSION
from pisces.prediction.segments import RecordingPrediction, SegmentPrediction

NAMESPACE = "pisces"
EXTENSIONS = {"signal": "1.0.0", NAMESPACE: VERSION}
DIGITAL_CLASSES = {"ASK": "ask", "PSK": "psk", "APSK": "apsk", "QAM": "qam"}
"""Family of modulations -> `mod_class` of `signal:detail`."""
NAMELESS_ORDERS = {"BPSK": 2, "OOK": 2, "QPSK": 4, "OQPSK": 4}
"""Of modulations whose name has no number."""
GENERATOR = f"{NAMESPACE} {VERSION}"


def annotated(
    metadata: dict[str, Any], first_sample: int, prediction: RecordingPrediction
) -> dict[str, Any]:
    """The metadata with an annotation a segment beside those that were there.

    Args:
        metadata: of SigMF, which is left as it is.
        first_sample: where the recording begins in the samples that the metadata count.
        prediction: of the recording.

    Returns:
        Metadata as `.sigmf-meta` files hold them, annotations by rising start.
    """
    result = copy.deepcopy(metadata)
    _declare(result["global"])
    if prediction.sample_rate_hz is not None:
        # A user may have said another than the file; frequencies of annotations go by it.
        result["global"]["core:sample_rate"] = prediction.sample_rate_hz
    named = [_annotation(segment, first_sample) for segment in prediction.segments]
    annotations = [*result.get("annotations", []), *named]
    result["annotations"] = sorted(annotations, key=lambda one: one.get("core:sample_start", 0))
    return result


def without_ours(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata without what an earlier prediction added, which a new one replaces."""
    annotations = [
        one
        for one in metadata.get("annotations", [])
        if not any(key.startswith(f"{NAMESPACE}:") for key in one)
    ]
    return metadata | {"annotations": annotations}


def _declare(of_file: dict[str, Any]) -> None:
    """Names the extensions in the global part of the metadata."""
    there = of_file.get("core:extensions")
    # What is no object is no extension.
    listed = [one for one in there if isinstance(one, dict)] if isinstance(there, list) else []
    names = [one.get("name") for one in listed]
    for name, version in EXTENSIONS.items():
        if name not in names:
            listed.append({"name": name, "version": version, "optional": True})
    of_file["core:extensions"] = listed


def _annotation(segment: SegmentPrediction, first_sample: int) -> dict[str, Any]:
    is_known = segment.known is not False
    annotation: dict[str, Any] = {
        "core:sample_start": first_sample + segment.start,
        "core:sample_count": segment.count,
        "core:label": segment.modulation if is_known else "unknown",
        "core:generator": GENERATOR,
    }
    if segment.centre_hz is not None and segment.bandwidth_hz is not None:
        annotation["core:freq_lower_edge"] = segment.centre_hz - segment.bandwidth_hz / 2
        annotation["core:freq_upper_edge"] = segment.centre_hz + segment.bandwidth_hz / 2
    if is_known:
        annotation["signal:detail"] = _detail(segment.modulation)

    said = {
        "modulation": segment.modulation,
        "probability": segment.probability,
        "alternatives": {one.modulation: one.probability for one in segment.alternatives},
        "snr_db": segment.snr_db,
        "snr_interval_db": segment.snr_interval_db and list(segment.snr_interval_db),
        "symbol_rate_hz": segment.symbol_rate_hz,
        "known": segment.known,
        "novelty": segment.novelty,
    }
    return annotation | {
        f"{NAMESPACE}:{key}": value for key, value in said.items() if value is not None
    }


def _detail(modulation: str) -> dict[str, Any]:
    """`signal:detail` of a modulation."""
    families = [family for family, members in FAMILIES.items() if modulation in members]
    mod_class = DIGITAL_CLASSES.get(families[0]) if families else None
    if mod_class is None:
        return {}
    digits = "".join(filter(str.isdigit, modulation))
    order = int(digits) if digits else NAMELESS_ORDERS[modulation]
    return {"type": "digital", "mod_class": mod_class, "order": order}
