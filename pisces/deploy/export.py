"""A model of a folder, written as a graph or made ready to be served."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.deploy import onnx_file, program, served, verify
from pisces.deploy.graph import Graph, without_echo
from pisces.models import modelfile
from pisces.models.modelfile import WEIGHTS, TrainedModel

FORMATS = {"onnx": "model.onnx", "torch": "model.pt2"}
"""What a model can be written as -> name of the file."""
FRAME_SAMPLES = 1024
"""Of frames for a model that says nothing about their length: those of RML2018.01A."""
SHORTEST_FRAME, LONGEST_FRAME = 64, 65536
"""Samples of the frames that a graph may be asked for."""


class Example(NamedTuple):
    """What a registry is told of a model."""

    digest: str
    """SHA-256 of the weights, in hex."""
    frames: np.ndarray
    """What may be asked, float32 (n, samples, 2)."""
    answer: pd.DataFrame
    """What the model says to them."""


def export_model(
    folder: Path,
    target: Path,
    kind: str,
    *,
    samples: int | None = None,
    echo: bool = True,
    interleaved: bool = False,
    revision: str | None = None,
) -> str:
    """Writes a model as one graph, whole or not at all; returns what was written, in words.

    Args:
        folder: of the model.
        target: the file.
        kind: a key of `FORMATS`.
        samples: of a frame; None for what the model says, else `FRAME_SAMPLES`.
        echo: whether the graph looks for echoes where the model's receiver does.
        interleaved: whether an ONNX graph takes I and Q in turn; see `onnx_file.write`.
        revision: commit of the repository, for the file's metadata.

    Raises:
        FileNotFoundError: when there is no model.
        ValueError: for a model that cannot be exported so, and where the file disagrees with it.
    """
    if interleaved and kind != "onnx":
        raise ValueError(f"--gnuradio4 is for --format onnx, not for {kind}; leave it out")
    if samples is not None and not SHORTEST_FRAME <= samples <= LONGEST_FRAME:
        raise ValueError(f"--samples {samples} must be {SHORTEST_FRAME} to {LONGEST_FRAME}")
    trained = modelfile.load(folder)
    if not echo:
        trained = without_echo(trained)
    length = samples or _frame_samples(trained)
    if length > LONGEST_FRAME:
        raise ValueError(
            f"the model in {folder} is of frames of {length} samples, and a graph takes at most "
            f"{LONGEST_FRAME}; export a model of shorter frames"
        )
    graph = Graph(trained, length).eval()

    if kind == "torch":
        agreement = program.write(target, trained, graph, revision=revision)
    else:
        agreement = onnx_file.write(
            target, trained, graph, revision=revision, interleaved=interleaved
        )
    return f"{target}, for frames of {graph.samples} samples: {agreement.text}"


def example_of(folder: Path) -> Example:
    """The digest of a model's weights, and its answer to two generated frames."""
    loaded = served.load(folder)
    trained = loaded.trained
    frames = verify.generated_frames(trained, _frame_samples(trained), 1)[:2]
    with (folder / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Example(digest, frames, loaded.predict(frames))


def _frame_samples(trained: TrainedModel) -> int:
    return trained.input.frame_samples or FRAME_SAMPLES
