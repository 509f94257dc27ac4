"""Which methods find the evidence that is known to be in a frame.

Explained is the difference of two logits, of the class that a model predicts and its runner-up.
What symbols say for the one against the other adds up, so that there is a truth. Methods are judged
on the exact classifier (`truth.classifier`), whose explanation is the evidence. On a trained model
the same figure says how much of the evidence it goes by, and not which method is right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import torch

from pisces.attribution import methods
from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.head import Context, DifferenceHead
from pisces.attribution.methods import Method
from pisces.core import shards, stats
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.inputs import binning, views
from pisces.inputs.drawing import BinStore
from pisces.inputs.settings import RenderSettings
from pisces.truth import evidence
from pisces.truth.evidence import Duel
from pisces.truth.found import leveled
from pisces.truth.law import SymbolLaw, places

OF_TOTALS = ("gradient", "integrated_gradients", "leave_one_out", "shapley")
"""Methods whose value of a pixel is that of all points in it together."""
CEILING = "pixel middle"
"""In place of a method: the evidence of symbols that are known by the middles of their pixels."""


class Placed(NamedTuple):
    """Symbols of n frames of one SNR, and where they fall."""

    points: torch.Tensor
    """Complex64 (n, symbols), of unit signal power."""
    pixels: np.ndarray
    """Pixel of each in the view `symbol`, int (n, symbols); numbers beyond the last are outside."""
    level: np.ndarray | float = 1.0
    """The points of the view over `points`: one number, or (n, 1)."""


class Truth(NamedTuple):
    """What the pixels of n frames say, NaN where a pixel is dark."""

    evidence: np.ndarray
    """Mean over the symbols of a pixel, nats, (n, pixels)."""
    of_middles: np.ndarray
    """The evidence of the middle of each pixel, at the same phases, (n, pixels)."""
    ranked: np.ndarray
    """Whether there is anything to be ranked, bool (n,); see `evidence.can_be_ranked`."""


def place(frames: torch.Tensor, render: RenderSettings) -> Placed:
    """The symbols of frames float32 (n, samples, 2), by the receiver of the view `symbol`."""
    level = binning.rms(frames)
    received = views.symbols_of(torch.view_as_complex(frames / level[:, None, None]), render)
    points = torch.view_as_real(received.points)
    pixels = binning.bin_points(points, render.size / 2 / render.extent.symbol, render.size)
    return Placed(received.points, pixels.numpy().astype(np.int64))


def on_level(placed: Placed, law: SymbolLaw) -> Placed:
    """The same symbols with the level that their points tell; see `found.leveled`.

    The receiver goes by the mean power, which misses the level of a frame by 2 to 3 %: as much as
    the noise from 20 dB over the whole band on.
    """
    points, level = leveled(placed.points, law)
    return Placed(points, placed.pixels, level.numpy())


def duel_of(logits: torch.Tensor) -> Duel:
    """The likeliest class and its runner-up, by logits (n, classes)."""
    best = logits.topk(2, 1).indices.cpu().numpy()
    return Duel(best[:, 0], best[:, 1])


Phases = tuple[np.ndarray, np.ndarray]
"""Of the class and of its rival, radians (n,) each."""


def phases_of(points: torch.Tensor, law: SymbolLaw, duel: Duel) -> Phases:
    """The best phases of symbols complex64 (n, symbols); see `evidence.best_phases`."""
    symbols = points.numpy().astype(np.complex128)
    return evidence.best_phases(symbols, law, places(points, law), duel)


def truth_of(
    placed: Placed, law: SymbolLaw, duel: Duel, phases: Phases, render: RenderSettings
) -> Truth:
    """The evidence of pixels for one class against its rival, each at its best phase.

    Args:
        placed: symbols of frames.
        law: where they come from.
        duel: the two classes of each frame, numbers in `law.classes`.
        phases: of the two, as of `phases_of`.
        render: side and extent of the view.

    Returns:
        The truth, and what the middles of pixels allow to know of it.
    """
    symbols = placed.points.numpy().astype(np.complex128)
    by_symbol = evidence.evidence_at(symbols, law, phases, duel)
    middles = evidence.pixel_middles(placed.pixels, render.size, render.extent.symbol)
    by_middle = evidence.evidence_at(middles / placed.level, law, phases, duel)

    pixels = render.size**2
    return Truth(
        evidence.pixel_means(by_symbol, placed.pixels, pixels),
        evidence.pixel_means(by_middle, placed.pixels, pixels),
        evidence.can_be_ranked(by_symbol),
    )


def scores_of(
    method: Method, head: DifferenceHead, images: torch.Tensor, duel: Duel, context: Context
) -> torch.Tensor:
    """Maps (n, channels, size, size) of a class against its rival, by one method.

    Args:
        method: any of `methods.METHODS`.
        head: of the model that is explained.
        images: (n, channels, size, size).
        duel: the two classes of each frame, numbers in the model.
        context: what the frames carry beside their images.

    Returns:
        Maps float32.
    """
    chosen, rival = (torch.from_numpy(column).to(images.device) for column in duel)
    return methods.attribute(method, head, images, chosen, (*context, rival))


def per_point(method: Method, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What a method says of each point in a pixel, from scores and counts (n, pixels).

    Where the score of a pixel is that of all its points together, each has its share of it.
    """
    return scores / np.maximum(counts, 1) if method.name in OF_TOTALS else scores


def agreements(
    method: Method, maps: torch.Tensor, channel: int, counts: np.ndarray, truth: Truth
) -> np.ndarray:
    """Rank correlation of the maps of a method with the evidence, frame by frame.

    A pixel's truth is a mean over its symbols, with which a value `per_point` is compared.

    Args:
        method: whose maps they are.
        maps: (n, channels, size, size).
        channel: of the view `symbol`.
        counts: points in its pixels, (n, pixels).
        truth: of the same pixels.

    Returns:
        -1..1, float64 (n,); NaN where a map is constant.
    """
    scores = maps[:, channel].flatten(1).cpu().numpy().astype(float)
    return evidence.agreement(per_point(method, scores, counts), truth.evidence)


def ceiling(truth: Truth) -> np.ndarray:
    """The agreement of the best knowledge of pixel middles with the evidence, (n,)."""
    return evidence.agreement(np.nan_to_num(truth.of_middles), truth.evidence)


def summary(by_frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the frames of each SNR, with 95 % intervals; see `stats.student_mean`.

    A constant map ranks nothing and counts as 0.

    Args:
        by_frame: rows of `snr_db, method, ranked, rho`.

    Returns:
        Rows of `snr_db, method, frames, left_out, mean, ci_low, ci_high`.
    """
    rows = []
    for names, group in by_frame.groupby(["snr_db", "method"], sort=False):
        snr_db, method = names
        found = group.loc[group["ranked"], "rho"].fillna(0.0).to_numpy()
        left_out = int((~group["ranked"]).sum())
        mean = stats.student_mean(found)
        rows.append({"snr_db": snr_db, "method": method, "left_out": left_out} | mean)
    return pd.DataFrame(rows)


# Of a trained model

TruthOf = Callable[[Duel], Truth]
"""Duels of some frames, numbers of classes in a model -> the truth of them."""


@dataclass(frozen=True)
class Case:
    """Frames of one SNR that a model was asked about, and the evidence in them.

    The truth is about the class that the model predicts and the runner-up in its logits, right or
    wrong. Frames where one of them has no constellation points have no truth: they are not ranked.
    """

    explained: ExplainedModel
    index: np.ndarray
    """Frames int (n, 3)."""
    frames: Frames
    duel: Duel
    """Numbers of classes in the model."""
    truth: Truth
    """Of the view `symbol`."""

    @classmethod
    def of(cls, explained: ExplainedModel, index: np.ndarray, truth_of: TruthOf) -> Self:
        """What a model predicts of frames, and what is true of them.

        Args:
            explained: the model, and the constellations of its frames, `symbol` among the views.
            index: frames of one SNR, (n, 3).
            truth_of: duels of these frames -> the truth.
        """
        frames = Frames.of(explained, index)
        duel = duel_of(frames.predict_whole(explained.model)[0])
        return cls(explained, index, frames, duel, truth_of(duel))

    @property
    def channel(self) -> int:
        """Of the view `symbol`."""
        return self.explained.data.render.views.index("symbol")

    @property
    def pixels(self) -> slice:
        """Those of the view `symbol` among the pixels of all views."""
        pixels = self.explained.data.render.size**2
        return slice(self.channel * pixels, (self.channel + 1) * pixels)

    @property
    def head(self) -> DifferenceHead:
        """What is explained."""
        given = self.explained.trained.input.from_images
        return DifferenceHead(self.explained.model, "modulation", given)

    @property
    def context(self) -> Context:
        """What frames carry beside their images, without the rivals."""
        return (*self.frames.probe.context, *self.explained.condition(self.frames.snr_db))

    @property
    def counts(self) -> np.ndarray:
        """Points in the pixels of the view `symbol`, (n, pixels)."""
        return self.frames.probe.counts.cpu().numpy()[:, self.pixels]

    def maps(self, method: Method) -> torch.Tensor:
        """Of the class against its rival, (n, channels, size, size)."""
        images = self.frames.probe.images
        return scores_of(method, self.head, images, self.duel, self.context)

    def scores(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps as scores of the pixels of all views, (n, pixels)."""
        return methods.pixel_scores(maps, len(self.explained.data.render.views))

    def agreements(self, method: Method, maps: torch.Tensor) -> np.ndarray:
        """As the function of this name: -1..1, (n,)."""
        of_symbol = self.scores(maps)[:, None, self.pixels, None]
        return agreements(method, of_symbol, 0, self.counts, self.truth)


def judge(
    explained: ExplainedModel,
    chosen: Sequence[Method],
    index: np.ndarray,
    source: Path,
    by_label: Mapping[int, float],
) -> pd.DataFrame:
    """How the maps of a trained model agree with the evidence, method by method; see `Case`.

    Args:
        explained: the model, and the constellations of its frames, `symbol` among the views.
        chosen: the methods.
        index: frames (n, 3).
        source: IQ shards that the constellations were made from.
        by_label: SNR label -> linear SNR of a symbol, as of `limits.reception_of`.

    Returns:
        Rows of `modulation, snr_db, frame, predicted, rival, method, ranked, rho`, `CEILING` among
        the methods.

    Raises:
        ValueError: where the view `symbol` is missing.
    """
    render = explained.data.render
    if "symbol" not in render.views:
        raise ValueError(
            f"evidence is that of the view symbol, which is none of {list(render.views)}; "
            "add it to render.views"
        )
    tables = []
    for number in progress(np.unique(index[:, 1]), "evidence"):
        of_snr, label = index[index[:, 1] == number], explained.data.snrs_db[number]
        law = SymbolLaw(explained.trained.modulations, by_label[label], shards.ask(source))
        frames = samples_of(explained.data, of_snr, source)
        case = Case.of(explained, of_snr, partial(truth_of_frames, frames, law, render))
        rho = {method.name: case.agreements(method, case.maps(method)) for method in chosen}
        tables += rows_of(case, {CEILING: ceiling(case.truth)} | rho)
    return pd.DataFrame(tables)


def truth_of_frames(
    frames: torch.Tensor, law: SymbolLaw, render: RenderSettings, duel: Duel
) -> Truth:
    """The evidence in frames for one class against its rival.

    Args:
        frames: float32 (n, samples, 2).
        law: where their symbols come from.
        render: the receiver, side and extent of the view.
        duel: of each frame, numbers in `law.modulations`.

    Returns:
        The truth; frames where a class is none of `law.classes` have none.
    """
    of_law = in_law(duel, law)
    known = np.flatnonzero((of_law.chosen >= 0) & (of_law.rival >= 0))
    truth = no_truth(len(frames), render.size**2)
    if len(known):
        placed = on_level(place(frames[known], render), law)
        in_doubt = Duel(of_law.chosen[known], of_law.rival[known])
        phases = phases_of(placed.points, law, in_doubt)
        found = truth_of(placed, law, in_doubt, phases, render)
        for whole, part in zip(truth, found, strict=True):
            whole[known] = part
    return truth


def in_law(duel: Duel, law: SymbolLaw) -> Duel:
    """A duel of numbers in `law.modulations` by those in `law.classes`, -1 for one without law."""
    classes = law.classes
    names = law.modulations
    number = np.array([classes.index(name) if name in classes else -1 for name in names])
    return Duel(number[duel.chosen], number[duel.rival])


def rows_of(case: Case, rho: Mapping[str, np.ndarray]) -> list[dict[str, object]]:
    """The rows of `judge` of one SNR; `rho` has the agreements (n,) of each method."""
    names, duel = case.explained.trained.modulations, case.duel
    rows: list[dict[str, object]] = []
    for method, of_frames in rho.items():
        for at, (modulation, label, row) in enumerate(case.explained.data.identities(case.index)):
            frame = {"modulation": modulation, "snr_db": label, "frame": row}
            frame |= {"predicted": names[duel.chosen[at]], "rival": names[duel.rival[at]]}
            ranked = case.truth.ranked[at]
            rows.append(frame | {"method": method, "ranked": ranked, "rho": of_frames[at]})
    return rows


def no_truth(n: int, pixels: int) -> Truth:
    """Of n frames nothing is known."""
    dark = np.full((n, pixels), np.nan)
    return Truth(dark, dark.copy(), np.zeros(n, bool))


def samples_of(data: BinStore, index: np.ndarray, source: Path) -> torch.Tensor:
    """Frames float32 (n, samples, 2) of the rows of an index (n, 3), in its order.

    Args:
        data: the constellations of the frames.
        index: frames of `data`.
        source: IQ shards that they were made from.
    """
    found = []
    for m, s, row in index:
        cell = Cell(data.modulations[m], data.snrs_db[s])
        found.append(shards.array(cell.path(source), "iq")[row])
    return torch.from_numpy(np.stack(found))
