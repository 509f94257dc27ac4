"""A graph as a program of torch.export: for PyTorch without this package."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from pisces.core.files import staged
from pisces.core.texts import in_one_line
from pisces.deploy import verify
from pisces.deploy.answers import OUTPUTS
from pisces.deploy.card import metadata
from pisces.deploy.graph import Graph
from pisces.deploy.verify import Agreement
from pisces.models.modelfile import TrainedModel

LONGEST = 300
"""Characters of an error of torch's in one of ours."""


def write(
    path: Path, trained: TrainedModel, graph: Graph, *, revision: str | None = None
) -> Agreement:
    """Writes a graph as `torch.export.load` reads it, whole or not at all.

    Its metadata, JSON strings as those of the ONNX file, are the extra files `metadata/<key>`.

    Args:
        path: of the file.
        trained: the model.
        graph: of the model.
        revision: commit of the repository, for its metadata.

    Returns:
        How far the file agrees with the model.

    Raises:
        ValueError: when it does not.
    """
    program = program_of(graph, (graph.samples, 2))
    described = metadata(trained, graph, revision=revision, interleaved=False)
    extra = {f"metadata/{key}": text for key, text in described.items()}
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=extra)

    with staged(path, content.getbuffer().nbytes) as temporary:
        temporary.write_bytes(content.getvalue())
        content.seek(0)
        loaded = torch.export.load(content).module()

        def run(frames: np.ndarray) -> dict[str, np.ndarray]:
            found = loaded(torch.from_numpy(frames))
            return dict(zip(OUTPUTS, (one.detach().numpy() for one in found), strict=True))

        return verify.check(trained, graph, run)


def program_of(module: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    """A module of one input, its first axis of any length.

    Args:
        module: in evaluation mode.
        shape: of one example, the first axis left out.

    Raises:
        ValueError: when a part of it depends on its data.
    """
    example = torch.ones(2, *shape)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, (example,), dynamic_shapes=({0: Dim("n")},))
    except (torch._dynamo.exc.UserError, RuntimeError) as error:
        reason = in_one_line(error, LONGEST)
        raise ValueError(f"the model has no graph: {reason}") from error
