"""Which methods find the evidence that is known to be in a frame.

Explained is the difference of two logits, of the class that a model predicts and its runner-up.
What symbols say for the one against the other adds up, so that there is a truth. Methods are judged
on the exact classifier (`truth.classifier`), whose explanation is the evidence. On a trained model
the same figure says how much of the evidence it goes by, and not which method is right.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pisces.attribution import methods
from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.head import Context, DifferenceHead
from pisces.attribution.methods import Method
from pisces.core import shards, stats
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.inputs import binning, views
from pisces.inputs.settings import RenderSettings
from pisces.truth import evidence
from pisces.truth.evidence import Duel
from pisces.truth.law import SymbolLaw, places

OF_TOTALS = ("gradient", "integrated_gradients", "leave_one_out", "shapley")
"""Methods whose value of a pixel is that of all points in it together."""
CEILING = "pixel middle"
"""In place of a method: the evidence of symbols that are known by the middles of their pixels."""


class Received(NamedTuple):
    """Symbols of n frames of one SNR, and where they fall."""

    points: torch.Tensor
    """Complex64 (n, symbols), of unit signal power."""
    pixels: np.ndarray
    """Pixel of each in the view `symbol`, int (n, symbols); numbers beyond the last are outside."""


class Truth(NamedTuple):
    """What the pixels of n frames say, NaN where a pixel is dark."""

    evidence: np.ndarray
    """Mean over the symbols of a pixel, nats, (n, pixels)."""
    of_middles: np.ndarray
    """The evidence of the middle of each pixel, at the same phases, (n, pixels)."""
    ranked: np.ndarray
    """Whether there is anything to be ranked, bool (n,); see `evidence.can_be_ranked`."""


def receive(frames: torch.Tensor, render: RenderSettings) -> Received:
    """The symbols of frames float32 (n, samples, 2), by the receiver of the view `symbol`."""
    level = binning.rms(frames)
    received = views.symbols_of(torch.view_as_complex(frames / level[:, None, None]), render)
    points = torch.view_as_real(received.points)
    pixels = binning.bin_points(points, render.size / 2 / render.extent.symbol, render.size)
    return Received(received.points, pixels.numpy().astype(np.int64))


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
    received: Received, law: SymbolLaw, duel: Duel, phases: Phases, render: RenderSettings
) -> Truth:
    """The evidence of pixels for one class against its rival, each at its best phase.

    Args:
        received: symbols of frames.
        law: where they come from.
        duel: the two classes of each frame, numbers in `law.classes`.
        phases: of the two, as of `phases_of`.
        render: side and extent of the view.

    Returns:
        The truth, and what the middles of pixels allow to know of it.
    """
    symbols = received.points.numpy().astype(np.complex128)
    by_symbol = evidence.evidence_at(symbols, law, phases, duel)
    middles = evidence.pixel_middles(received.pixels, render.size, render.extent.symbol)
    by_middle = evidence.evidence_at(middles, law, phases, duel)

    pixels = render.size**2
    return Truth(
        evidence.pixel_means(by_symbol, received.pixels, pixels),
        evidence.pixel_means(by_middle, received.pixels, pixels),
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


def agreements(
    method: Method, maps: torch.Tensor, channel: int, counts: np.ndarray, truth: Truth
) -> np.ndarray:
    """Rank correlation of the maps of a method with the evidence, frame by frame.

    A pixel's truth is a mean over its symbols. Where the value of a pixel is that of all its points
    together, it is divided by how many these are.

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
    if method.name in OF_TOTALS:
        scores = scores / np.maximum(counts, 1)
    return evidence.agreement(scores, truth.evidence)


def ceiling(truth: Truth) -> np.ndarray:
    """The agreement of the best knowledge of pixel middles with the evidence, (n,)."""
    return evidence.agreement(np.nan_to_num(truth.of_middles), truth.evidence)


def summary(by_frame: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means over the frames of each SNR, with 95 % bootstrap intervals over frames.

    A constant map ranks nothing and counts as 0.

    Args:
        by_frame: rows of `snr_db, method, ranked, rho`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Rows of `snr_db, method, frames, left_out, mean, ci_low, ci_high`.
    """
    rows = []
    for names, group in by_frame.groupby(["snr_db", "method"], sort=False):
        snr_db, method = names
        found = group.loc[group["ranked"], "rho"].fillna(0.0).to_numpy()
        rng = generator(seed, "agreement with the evidence", str(snr_db), str(method))
        interval = stats.bootstrap_mean(found, resamples, rng)
        left_out = int((~group["ranked"]).sum())
        rows.append({"snr_db": snr_db, "method": method, "left_out": left_out} | interval)
    return pd.DataFrame(rows)


# Of a trained model


def judge(
    explained: ExplainedModel,
    chosen: Sequence[Method],
    index: np.ndarray,
    source: Path,
    by_label: Mapping[int, float],
) -> pd.DataFrame:
    """How the maps of a trained model agree with the evidence, method by method.

    The truth is about the class that the model predicts and the runner-up in its logits, right or
    wrong. Frames where one of them has no constellation points have no truth: they are not ranked.

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
        of_snr = index[index[:, 1] == number]
        label = explained.trained.snrs_db[number]
        tables += _judge_snr(explained, chosen, of_snr, source, by_label[label])
    return pd.DataFrame(tables)


def _judge_snr(
    explained: ExplainedModel,
    chosen: Sequence[Method],
    index: np.ndarray,
    source: Path,
    snr: float,
) -> list[dict[str, object]]:
    """The rows of `judge` of frames of one SNR label."""
    names = explained.trained.modulations
    law = SymbolLaw(names, snr, shards.ask(source))
    frames = Frames.of(explained, index)
    duel = duel_of(frames.predict_whole(explained.model)[0])

    in_law = np.array([law.classes.index(name) if name in law.classes else -1 for name in names])
    of_law = Duel(in_law[duel.chosen], in_law[duel.rival])
    known = np.flatnonzero((of_law.chosen >= 0) & (of_law.rival >= 0))
    truth = _no_truth(len(index), explained.data.render.size**2)
    if len(known):
        received = receive(_samples(explained, index[known], source), explained.data.render)
        in_doubt = Duel(of_law.chosen[known], of_law.rival[known])
        phases = phases_of(received.points, law, in_doubt)
        found = truth_of(received, law, in_doubt, phases, explained.data.render)
        for whole, part in zip(truth, found, strict=True):
            whole[known] = part

    rho = {CEILING: ceiling(truth)}
    head = DifferenceHead(explained.model, "modulation", explained.trained.input.from_images)
    context = (*frames.probe.context, *explained.condition(frames.snr_db))
    views_of = explained.data.render.views
    channel, pixels = views_of.index("symbol"), explained.data.render.size**2
    counts = frames.probe.counts.cpu().numpy()[:, channel * pixels :][:, :pixels]
    for method in chosen:
        maps = scores_of(method, head, frames.probe.images, duel, context)
        of_views = methods.pixel_scores(maps, len(views_of)).view(len(maps), len(views_of), -1)
        rho[method.name] = agreements(method, of_views[..., None], channel, counts, truth)

    rows: list[dict[str, object]] = []
    for name, of_frames in rho.items():
        for at, (modulation, label, row) in enumerate(explained.data.identities(index)):
            frame = {"modulation": modulation, "snr_db": label, "frame": row}
            frame |= {"predicted": names[duel.chosen[at]], "rival": names[duel.rival[at]]}
            rows.append(frame | {"method": name, "ranked": truth.ranked[at], "rho": of_frames[at]})
    return rows


def _no_truth(n: int, pixels: int) -> Truth:
    dark = np.full((n, pixels), np.nan)
    return Truth(dark, dark.copy(), np.zeros(n, bool))


def _samples(explained: ExplainedModel, index: np.ndarray, source: Path) -> torch.Tensor:
    """Frames float32 (n, samples, 2) of the rows of an index (n, 3), in its order."""
    found = []
    for m, s, row in index:
        cell = Cell(explained.data.modulations[m], explained.data.snrs_db[s])
        found.append(shards.array(cell.path(source), "iq")[row])
    return torch.from_numpy(np.stack(found))
