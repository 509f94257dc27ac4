"""The model behind a page that is served: what it says of frames without pixels of a choice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pisces.attribution.explained_model import ExplainedModel, predict_batch
from pisces.core.files import sha256
from pisces.core.reading import read_npz
from pisces.core.texts import in_one_line
from pisces.explorer.prepared import probabilities
from pisces.models import modelfile

LONGEST = 100  # characters of a wrong value in a message
LARGEST = 2**31 - 1  # number of a pixel or of a frame


class Question(NamedTuple):
    """Which pixels go from which frame."""

    frame: tuple[int, int, int]
    """Row of an index."""
    pixels: tuple[int, ...]
    """Their numbers, counted on through the views."""


def parse(body: bytes) -> Question:
    """The question in a body of JSON, `{"frame": [m, s, row], "pixels": [number, ...]}`.

    Raises:
        ValueError: when it is none.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the question is not JSON") from None
    if not isinstance(content, dict) or set(content) != {"frame", "pixels"}:
        raise ValueError("a question has the keys frame and pixels, and no others")
    for key, numbers in content.items():
        if not isinstance(numbers, list) or any(type(one) is not int for one in numbers):
            raise ValueError(f"{key} is {_short(numbers)}, not a list of whole numbers")
        if any(abs(one) > LARGEST for one in numbers):
            raise ValueError(f"{key} has a number beyond {LARGEST}")
    if len(content["frame"]) != 3:
        raise ValueError(f"frame is {_short(content['frame'])}, not modulation, SNR and row")
    m, s, row = content["frame"]
    return Question((m, s, row), tuple(content["pixels"]))


def _short(value: object) -> str:
    return in_one_line(repr(value), LONGEST)


class LiveModel:
    """Answers questions about the frames that a page shows.

    Args:
        explained: the model.
        index: the frames, (n, 3).
    """

    def __init__(self, explained: ExplainedModel, index: np.ndarray) -> None:
        self._explained = explained
        self._batch = predict_batch(explained, index)
        self._number = {(m, s, row): i for i, (m, s, row) in enumerate(index.tolist())}
        self._lit = self._batch.lit

    def answer(self, question: Question) -> dict[str, list[float]]:
        """Probabilities of both heads without the pixels.

        Raises:
            ValueError: for a frame that is not shown, or pixels that are not lit in it.
        """
        if question.frame not in self._number:
            raise ValueError(f"frame {list(question.frame)} is not among those on the page")
        number = self._number[question.frame]
        lit = self._lit[number]
        pixels = np.unique(np.array(question.pixels, np.int64))
        if len(pixels) and (pixels[0] < 0 or pixels[-1] >= len(lit) or not lit[pixels].all()):
            raise ValueError("pixels holds a number that is no lit pixel of the frame")

        modulation, snr = probabilities(self._explained, self._batch, number, [pixels])
        return {"modulation": modulation[0].tolist(), "snr": snr[0].tolist()}


def load(
    models: Path, data: Path, frames: Path, how: Mapping[str, Any], seed: int
) -> tuple[LiveModel, str]:
    """The model of a workspace, for the frames that were prepared.

    Args:
        models: folder of the model.
        data: root of the data set.
        frames: data/explorer.npz.
        how: `fill`, as `pis.fill`, and `precision`, as `train.precision`.
        seed: `base.seed`.

    Returns:
        The model, and the SHA-256 of its weights.

    Raises:
        FileNotFoundError: when one of the files is missing.
        ValueError: when they do not belong together.
    """
    explained = ExplainedModel.opened(data, models, how["precision"], seed, how["fill"])
    digest = sha256(models / modelfile.WEIGHTS)

    prepared = read_npz(frames, "explore", ("frame", "weights_sha256"))
    if str(prepared["weights_sha256"]) != digest:
        raise ValueError(
            f"{frames} is of another model than {models}: its weights have the SHA-256 "
            f"{str(prepared['weights_sha256'])[:12]}, not {digest[:12]}; "
            "make both again with dvc repro page"
        )
    return LiveModel(explained, prepared["frame"]), digest
