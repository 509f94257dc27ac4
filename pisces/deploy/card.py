"""What an exported file says of itself."""

import json
from typing import Any

from pisces.core.snr_label import true_snr_db
from pisces.core.version import VERSION
from pisces.deploy.answers import OUTPUTS
from pisces.deploy.echo import EchoSearch
from pisces.deploy.graph import INPUT, Graph
from pisces.models.modelfile import TrainedModel

NORMALISATION = "inside the graph: each frame is divided by its own RMS; give frames of any power"
FRAME = "I then Q along the last axis, float32, one frame a row, any number of rows"
UNUSABLE = "all outputs of a frame without power, or with NaN or infinity in it, are NaN"

NOVELTY = (
    "distance of the features from known ones, in standard deviations; unknown above the threshold"
)
AS_A_CONSTANT = "a constant in the graph: render.pulse, rolloff and response of `input`"
PULSES = {
    "estimated": AS_A_CONSTANT,
    "rrc": AS_A_CONSTANT,
    "rml2018": AS_A_CONSTANT,
    "chosen": "chosen frame by frame in the graph",
    "none": "not used",
}
"""`render.pulse` -> where the pulse of the graph comes from."""


def metadata(
    trained: TrainedModel, graph: Graph, *, revision: str | None, interleaved: bool
) -> dict[str, str]:
    """Key -> text; what has parts is JSON.

    `input_size`, `history_depth`, `normalise_mode` and `architecture` are what GNU Radio 4's
    generic block `OnnxInference` reads: one float input (1, history_depth, input_size).

    Args:
        trained: the model.
        graph: of the model.
        revision: commit of the repository, if there is one.
        interleaved: whether the input is (n, 1, 2 * samples).
    """
    seen = trained.input.card()
    render = seen.get("render", {})
    depth, size = (1, 2 * graph.samples) if interleaved else (graph.samples, 2)
    parts = graph.modules()
    calibration = trained.calibration
    novelty = calibration.novelty if calibration else None
    content: dict[str, Any] = {
        "modulations": trained.modulations,
        "snr_labels": trained.snrs_db,
        "snr_label_convention": trained.snr_label,
        "snrs_db": [true_snr_db(label, trained.snr_label) for label in trained.snrs_db],
        "snr_meaning": "dB, power of the signal over that of the noise in the whole band",
        "frame_samples": graph.samples,
        "samples_per_symbol": trained.input.symbol_samples or "not known",
        "frame": FRAME,
        "normalisation": NORMALISATION,
        "unusable_frames": UNUSABLE,
        "input_names": [INPUT],
        "output_names": OUTPUTS,
        "input": seen,
        "pulse": PULSES[render.get("pulse", "none")],
        "echo_search": "yes" if any(isinstance(one, EchoSearch) for one in parts) else "no",
        "modulation_temperature": calibration.modulation_temperature if calibration else 1.0,
        "snr_temperature": calibration.snr_temperature if calibration else 1.0,
        "novelty": NOVELTY if novelty else "0: the model's card knows none",
        "novelty_threshold": novelty.feature_threshold if novelty else None,
        "pisces_version": VERSION,
        "pisces_revision": revision or "none",
        "input_size": size,
        "history_depth": depth,
        "normalise_mode": "None",
        "architecture": trained.architecture.model,
    }
    return {key: _text(value) for key, value in content.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
