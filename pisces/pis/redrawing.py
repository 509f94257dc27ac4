"""Predictions of frames whose masked symbols are drawn anew, in place of being blacked out.

A mask touches a symbol when it takes the pixel that the symbol's point falls in; what is drawn in
its place, and which masks and frames are refused, say `pisces.truth.redraw` and
`pisces.truth.found`. What is refused keeps its reason and is not measured.

The controls are blind to values. `control_count` draws the symbols anew that lie in as many random
lit pixels, and `control_mass` as many random symbols as the mask touches, each for itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import seeding, shards
from pisces.core.progress import progress
from pisces.core.tasks import TASKS
from pisces.data import splitting
from pisces.evaluation import bounds, limits, references
from pisces.evaluation.inference import BATCH, predict
from pisces.inputs.base import IQ_SHARDS, to_device
from pisces.inputs.binning import OUTSIDE
from pisces.inputs.drawing import BinStore
from pisces.inputs.settings import FEWEST_REDRAWN_SPS, OtherViews
from pisces.inputs.waveform import IqStore, frames_behind
from pisces.models.modelfile import TrainedModel
from pisces.pis.masks import KINDS, MASS, Mask, MasksOfView
from pisces.pis.outcome import Outcome, divide_or_nan
from pisces.pis.store import PerturbationPlan
from pisces.truth import found
from pisces.truth.frames import RedrawableFrames, Redrawing
from pisces.truth.law import SymbolLaw
from pisces.truth.redraw import Refused, Way, generators, touched, way_of

CHUNK = 256  # frames

NO_VIEW = "the view symbol, whose points are the symbols, is not rendered"
"""Why all masks are refused without it."""


class Redrawn(NamedTuple):
    """What a model predicts of frames before and after their symbols are drawn anew."""

    outcome: Outcome
    """Of the masks that can be redrawn, over the frames that are not refused."""
    frame: np.ndarray
    """Index of these frames, (n, 3)."""
    likelihood: dict[str, np.ndarray]
    """Whether the likeliest class is the true one: `baseline` bool (n,), and of each kind that was
    measured, given the symbols that stay, bool (masks, n)."""
    refused_masks: dict[Mask, str]
    """Mask -> why it is not redrawn."""
    refused_frames: dict[str, int]
    """Why frames are refused -> how many, the most frequent first."""
    other_views: OtherViews


def measure(
    trained: TrainedModel,
    root: Path,
    data: BinStore,
    plan: PerturbationPlan,
    *,
    kinds: Sequence[str],
    other_views: OtherViews,
    device: torch.device,
) -> Redrawn:
    """Whether a model is right about frames as they are and with masked symbols drawn anew.

    Args:
        trained: the model; one that reads samples is given new ones, whatever `other_views`.
        root: of the data set, which must hold IQ shards beside constellations.
        data: the constellations.
        plan: frames and masks.
        kinds: masks and those of their controls that are measured, of `KINDS`.
        other_views: whether the views that are not masked are held, or show the new samples.
        device: where the model runs.

    Returns:
        What was right, and what was refused.

    Raises:
        ValueError: when the constellations were not rendered from the frames, and as
            `RedrawableFrames`.
    """
    if trained.input.reads_samples:
        other_views = "redrawn"
    ways, refused_masks = _ways(plan.masks, data)
    why = _why_no_frame(data, other_views)
    refused_frames: Counter[str] = Counter()
    parts = []
    if ways and why:
        refused_frames[why] = len(plan.frame)
    elif ways:
        plan = replace(plan, masks=tuple(ways))
        laws = _laws(data, root)
        iq = frames_behind(data, root)
        trained.model.to(device)
        for rows in progress(_chunks(plan), f"redraw, at most {CHUNK} frames each"):
            of_chunk = replace(plan, frame=plan.frame[rows])
            frames = _frames(iq, data, of_chunk.frame, laws, other_views)
            refused_frames.update(frames.refusals())
            if not all(frames.refused):
                measured = _Measurement(trained, data, of_chunk, frames, device)
                parts.append(measured.run(ways, kinds))

    of_parts = _joined(list(ways), parts, kinds)
    return Redrawn(*of_parts, refused_masks, dict(refused_frames.most_common()), other_views)


def bounded(plan: PerturbationPlan, frames_per_cell: int | None) -> PerturbationPlan:
    """The plan of at most so many frames of each (modulation, SNR); None: all."""
    return replace(plan, frame=splitting.first_of_each_cell(plan.frame, frames_per_cell))


def _ways(masks: Sequence[Mask], data: BinStore) -> tuple[dict[Mask, Way], dict[Mask, str]]:
    """How masks are redrawn, and why others are not."""
    ways: dict[Mask, Way] = {}
    refused: dict[Mask, str] = {}
    for mask in masks:
        try:
            ways[mask] = way_of(mask.view, mask.rule, mask.name)
        except Refused as reason:
            refused[mask] = str(reason)
    if "symbol" not in data.render.views:
        refused = dict.fromkeys(masks, NO_VIEW)
    return ways, refused


def _why_no_frame(data: BinStore, other_views: OtherViews) -> str:
    """Why none of the frames can be redrawn; empty where some may be."""
    if not references.recognisable(data.modulations):
        return found.NO_POINTS
    if other_views == "redrawn" and data.render.sps < FEWEST_REDRAWN_SPS:
        return f"less than {FEWEST_REDRAWN_SPS} samples a symbol"
    return ""


def _chunks(plan: PerturbationPlan) -> list[np.ndarray]:
    """Numbers of frames of the plan, a few of one SNR each."""
    chunks = []
    for number in np.unique(plan.frame[:, 1]):
        rows = np.flatnonzero(plan.frame[:, 1] == number)
        chunks += np.array_split(rows, -(-len(rows) // CHUNK))
    return chunks


def _laws(data: BinStore, root: Path) -> dict[int, SymbolLaw]:
    """SNR label -> the law of its symbols."""
    source, render = root / IQ_SHARDS, data.render
    es_n0 = bounds.es_n0(data.snrs_db, render.sps, data.snr_label)
    received = limits.snrs_after_equalizer(source, data.modulations, render, es_n0)
    ask, modulations = shards.ask(source), tuple(data.modulations)
    return {label: SymbolLaw(modulations, snr, ask) for label, snr in received.items()}


def _frames(
    iq: IqStore,
    data: BinStore,
    index: np.ndarray,
    laws: Mapping[int, SymbolLaw],
    other_views: OtherViews,
) -> RedrawableFrames:
    """The frames of an index (n, 3), all of one SNR."""
    names = [data.modulations[number] for number in index[:, 0]]
    samples = torch.from_numpy(iq.gather(index))
    law = laws[data.snrs_db[index[0, 1]]]
    return RedrawableFrames(samples, names, data.render, law, other_views)


class _Part(NamedTuple):
    """What is found of some frames; as in `Redrawn`."""

    outcome: Outcome
    frame: np.ndarray
    likelihood: dict[str, np.ndarray]

    @classmethod
    def of_nothing(cls, masks: Sequence[Mask], kinds: Sequence[str]) -> "_Part":
        likelihood = {"baseline": np.zeros(0, bool)}
        likelihood |= {kind: np.zeros((len(masks), 0), bool) for kind in kinds}
        return cls(Outcome(list(masks), 0), np.zeros((0, 3), int), likelihood)


class _Measurement:
    """Masks redrawn one after the other, of frames of one SNR.

    Args:
        trained: the model.
        data: the constellations.
        plan: of these frames and the masks that can be redrawn.
        frames: the same frames.
        device: where the model runs.
    """

    def __init__(
        self,
        trained: TrainedModel,
        data: BinStore,
        plan: PerturbationPlan,
        frames: RedrawableFrames,
        device: torch.device,
    ) -> None:
        self.trained, self.plan, self.frames, self.device = trained, plan, frames, device
        self.identities = data.identities(plan.frame)
        self.snrs_db = np.array(data.true_snrs_db, np.float32)[plan.frame[:, 1]]
        self.taken = list(plan.taken(data, 0, len(plan.frame), plan.masks))
        self.order = self._order()

        classes = frames.law.classes
        names = [data.modulations[number] for number in plan.frame[:, 0]]
        self.of_law = np.array([classes.index(name) if name in classes else -1 for name in names])
        nothing = torch.zeros(frames.bins["symbol"].shape, dtype=torch.bool)
        self.baseline = self._right(frames.without_symbols(nothing, ()), np.arange(len(names)))

    def run(self, ways: Mapping[Mask, Way], kinds: Sequence[str]) -> _Part:
        """Masks and controls of these kinds, of the frames that are not refused."""
        n = len(self.plan.frame)
        outcome = Outcome(list(ways), n)
        outcome.baseline = self.baseline
        likelihood = {"baseline": self.frames.likeliest().numpy() == self.of_law}
        likelihood |= {kind: np.zeros((len(ways), n), bool) for kind in kinds}

        for number, (mask, way) in enumerate(ways.items()):
            for kind in kinds:
                new = self._without(mask, way, kind)
                for task, right in self._after(new).items():
                    outcome.correct[kind][task][number] = right
                likelihood[kind][number] = new.likeliest.numpy() == self.of_law
                outcome.fraction[kind][number] = self._shares(mask, kind, new.removed)

        kept = np.array([not reason for reason in self.frames.refused])
        likelihood = {kind: right[..., kept] for kind, right in likelihood.items()}
        return _Part(outcome.of(kept), self.plan.frame[kept], likelihood)

    def _without(self, mask: Mask, way: Way, kind: str) -> Redrawing:
        """The frames after a mask or one of its controls."""
        rngs = generators(self.plan.seed, self.identities, f"{mask.key} {kind}")
        if kind == "mask" and way == "region":
            return self.frames.without(self._region(mask), "region", rngs)
        if kind != "control_mass":
            return self.frames.without(self._pixels(mask, kind), "free", rngs)

        by_mask = touched(self.frames.bins["symbol"], self._pixels(mask, "mask"))
        as_many = self.order < by_mask.sum(1, keepdim=True)
        return self.frames.without_symbols(as_many, rngs)

    def _region(self, mask: Mask) -> torch.Tensor:
        """All pixels of a region, dark ones too: bool (1, pixels)."""
        everywhere = np.ones(self.frames.render.size**2, np.float32)
        of_region = MasksOfView([mask], self.plan.settings, self.plan.seed)
        taken = of_region.take(everywhere, ("", 0, 0))
        return torch.from_numpy(taken.chosen[0])

    def _pixels(self, mask: Mask, kind: str) -> torch.Tensor:
        """The lit pixels that a mask or a control takes of each frame: bool (n, pixels)."""
        masked = torch.zeros(len(self.taken), self.frames.render.size**2, dtype=torch.bool)
        for row, taken in enumerate(self.taken):
            masked[row, taken.pixels(mask, kind)] = True
        return masked

    def _order(self) -> torch.Tensor:
        """Rank of each symbol in a random order, those beyond the image last: int64 (n, symbols).

        Controls are beginnings of it.
        """
        bins = self.frames.bins["symbol"].int()
        ranks = torch.full(bins.shape, bins.shape[1])
        for row, identity in enumerate(self.identities):
            rng = seeding.generator(self.plan.seed, "redraw control", *identity)
            inside = (bins[row] != OUTSIDE).nonzero()[:, 0]
            ranks[row, inside] = torch.from_numpy(rng.permutation(len(inside)))
        return ranks

    def _shares(self, mask: Mask, kind: str, removed: torch.Tensor) -> np.ndarray:
        """What a mask or a control takes of each frame, (fractions, n)."""
        k, number = KINDS.index(kind), self.plan.masks.index(mask)
        shares = np.stack([taken.fraction[k, number] for taken in self.taken], 1)
        if kind != "control_mass":
            return shares

        # As many symbols as the mask touches, and the pixels that these lie in.
        of_mask = np.stack([taken.fraction[0, number] for taken in self.taken], 1)
        bins = self.frames.bins["symbol"].int()
        lit = np.array([len(taken.lit) for taken in self.taken])
        pixels = np.array([len(bins[row][gone].unique()) for row, gone in enumerate(removed)])
        of_all = pixels / self.frames.render.size**2
        return np.stack([of_all, divide_or_nan(pixels, lit), of_mask[MASS]])

    def _after(self, new: Redrawing) -> dict[str, np.ndarray]:
        """Task -> whether the model is right, bool (n,); predicted where something changed."""
        rows = new.removed.any(1).nonzero()[:, 0].numpy()
        right = {task: of_task.copy() for task, of_task in self.baseline.items()}
        for task, of_task in self._right(new, rows).items():
            right[task][rows] = of_task
        return right

    def _right(self, new: Redrawing, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Task -> whether the model is right about some of the frames, bool (rows,)."""
        predicted = np.empty((len(rows), 2), int)
        whole = self.trained.input.changed(new.bins, new.iq)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            stored = whole[torch.from_numpy(some)].to(self.device)
            snrs_db = to_device(self.snrs_db[some], self.device)
            logits = predict(self.trained.model, self.trained.input.tensors(stored), snrs_db)
            classes = torch.stack([of_head.argmax(1) for of_head in logits], 1)
            predicted[start : start + BATCH] = classes.cpu().numpy()

        modulation, snr = (predicted == self.plan.frame[rows, :2]).T
        return {"modulation": modulation, "snr": snr, "joint": modulation & snr}


def _joined(masks: Sequence[Mask], parts: Sequence[_Part], kinds: Sequence[str]) -> _Part:
    """The frames of all parts, in the order of their index."""
    nothing = _Part.of_nothing(masks, kinds)
    frame = np.concatenate([nothing.frame, *(part.frame for part in parts)])
    order = np.lexsort(frame.T[::-1])

    def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays, -1)[..., order]

    every = [nothing, *parts]
    outcome = Outcome(list(masks), 0)
    for task in TASKS:
        outcome.baseline[task] = joined([part.outcome.baseline[task] for part in every])
    for kind in KINDS:
        outcome.fraction[kind] = joined([part.outcome.fraction[kind] for part in every])
        for task in TASKS:
            of_parts = [part.outcome.correct[kind][task] for part in every]
            outcome.correct[kind][task] = joined(of_parts)
    names = nothing.likelihood
    likelihood = {name: joined([part.likelihood[name] for part in every]) for name in names}
    return _Part(outcome, frame[order], likelihood)
