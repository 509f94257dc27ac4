"""A graph as an ONNX file: made, described, checked and compared before it is put in place."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pisces.core.files import staged
from pisces.core.texts import in_one_line, readable_size
from pisces.deploy import verify
from pisces.deploy.answers import OUTPUTS
from pisces.deploy.card import metadata
from pisces.deploy.graph import INPUT, Graph
from pisces.deploy.program import program_of
from pisces.deploy.verify import Agreement
from pisces.models.modelfile import TrainedModel

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 18
"""Of ONNX: the first that has all that is needed; runtimes since 2023 know it."""

LARGEST = 2**31 - 2**20
"""Bytes of weights in one file, which is a protobuf message of less than 2 GiB."""
LONGEST = 300
"""Characters of an error of torch's in one of ours."""


def write(
    path: Path,
    trained: TrainedModel,
    graph: Graph,
    *,
    revision: str | None = None,
    interleaved: bool = False,
) -> Agreement:
    """Writes a graph, whole or not at all.

    Args:
        path: of the file.
        trained: the model.
        graph: of the model.
        revision: commit of the repository, for its metadata.
        interleaved: whether the input is (n, 1, 2 * samples), I and Q in turn, as GNU Radio 4's
            generic block gives it, and not (n, samples, 2).

    Returns:
        How far the file agrees with the model.

    Raises:
        ValueError: when it does not, or the net cannot be exported.
    """
    import onnx

    exported = Interleaved(graph) if interleaved else graph
    shape = (1, 2 * graph.samples) if interleaved else (graph.samples, 2)
    model = onnx_of(exported, shape)
    described = metadata(trained, graph, revision=revision, interleaved=interleaved)
    onnx.helper.set_model_props(model, described)
    onnx.checker.check_model(model, full_check=True)

    with staged(path, model.ByteSize()) as temporary:
        onnx.save(model, temporary)
        session = session_of(temporary)

        def run(frames: np.ndarray) -> Mapping[str, np.ndarray]:
            return answers(session, frames.reshape(-1, *shape))

        return verify.check(trained, graph, run)


class Interleaved(nn.Module):
    """A graph whose frames come as (n, 1, 2 * samples), I and Q in turn."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.whole = graph  # not `graph`: the exporter has one of its own

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.whole(frames.reshape(-1, self.whole.samples, 2))


def onnx_of(
    module: nn.Module,
    shape: tuple[int, ...],
    inputs: tuple[str, ...] = (INPUT,),
    outputs: tuple[str, ...] = OUTPUTS,
) -> "onnx.ModelProto":
    """A module of one input as ONNX, its first axis of any length.

    Args:
        module: in evaluation mode.
        shape: of one example, the first axis left out.
        inputs: name of the input.
        outputs: names of the outputs.

    Raises:
        ValueError: when a part of it has no counterpart in ONNX.
    """
    _check_size(module)
    program = program_of(module, shape)
    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = in_one_line(error.__cause__ or error, LONGEST)
        raise ValueError(f"the model cannot be written as ONNX: {reason}") from error
    assert made is not None
    return made.model_proto


def _check_size(module: nn.Module) -> None:
    tensors = (*module.parameters(), *module.buffers())
    size = sum(tensor.nbytes for tensor in tensors)
    if size > LARGEST:
        raise ValueError(
            f"the model has {readable_size(size)} of weights, and an ONNX file holds "
            f"{readable_size(LARGEST)}; use --format torch"
        )


def session_of(path: Path, threads: int = 1) -> "onnxruntime.InferenceSession":
    """The file, ready to run on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(
    session: "onnxruntime.InferenceSession", inputs: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Name of the output -> what the file says of inputs float32 (n, ...)."""
    names = [one.name for one in session.get_outputs()]
    found = session.run(names, {session.get_inputs()[0].name: inputs})
    return dict(zip(names, found, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress and its remarks on what it folds."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
