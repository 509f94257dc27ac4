"""What masks at random cost models: how often each is right, whole and without random pixels.

A model that reacts to the hole loses accuracy to pixels that nothing depends on. All models are
shown the same frames without the same pixels, so that they are compared frame by frame.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.core.paired import bounded_mean_interval, difference_interval
from pisces.core.progress import progress
from pisces.core.stats import wilson
from pisces.core.tasks import HEADS
from pisces.pis.brightness import exact_size

BATCH = 256  # frames
LEVELS_PERCENT = (1, 5, 10, 25)
"""Of the lit pixels of a view."""
ALL_VIEWS = "all"

PixelList = tuple[np.ndarray, np.ndarray]
"""(pixels, offsets) of some frames, as in `inputs.pixels`."""


@dataclass(frozen=True)
class RandomMask:
    """Random lit pixels of one view, or as large a share of each."""

    view: str  # or `ALL_VIEWS`
    level_percent: float


@dataclass(frozen=True)
class MaskedAccuracy:
    """Whether models are right about n frames, whole and with each mask."""

    masks: list[RandomMask]
    whole: dict[str, np.ndarray]  # model -> bool (heads, n)
    masked: dict[str, np.ndarray]  # model -> bool (masks, heads, n)
    snr_db: np.ndarray  # label of each frame, (n,)

    def table(self, reference: str) -> pd.DataFrame:
        """One row a (model, task, measure, mask, SNR); an empty SNR stands for all frames.

        `accuracy` has its Wilson interval, `random_drop` (accuracy whole less that with the mask)
        its score interval over the same frames. `difference` is that to the model `reference`.
        """
        tables = []
        for snr_db, chosen in self._groups():
            for model in self.whole:
                for head, task in enumerate(HEADS):
                    whole = self.whole[model][head, chosen]
                    whole_of_reference = self.whole[reference][head, chosen]
                    rows = pd.concat(
                        [
                            _accuracy(whole, whole_of_reference),
                            _drops(
                                self.masks,
                                _changes(whole, self.masked[model][:, head, chosen]),
                                _changes(
                                    whole_of_reference, self.masked[reference][:, head, chosen]
                                ),
                            ),
                        ]
                    )
                    tables.append(rows.assign(model=model, task=task, snr_db=snr_db))
        return pd.concat(tables, ignore_index=True)

    def _groups(self) -> Iterator[tuple[float, np.ndarray]]:
        """The frames of each SNR label, bool (n,), after all of them, whose label is NaN."""
        yield np.nan, np.ones(len(self.snr_db), bool)
        for snr_db in np.unique(self.snr_db):
            yield float(snr_db), self.snr_db == snr_db


def _changes(whole: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """1 where a mask takes a right prediction, -1 where it brings one, else 0: (masks, n)."""
    return whole.astype(int) - masked


def _accuracy(right: np.ndarray, of_reference: np.ndarray) -> pd.DataFrame:
    """The row of an accuracy, and how far it is above that of another model on the same frames."""
    n = len(right)
    ci_low, ci_high = wilson(int(right.sum()), n)
    better, worse = np.sum(right & ~of_reference), np.sum(of_reference & ~right)
    low, high = difference_interval(better, worse, n)
    row = {
        "measure": "accuracy",
        "n": n,
        "value": right.mean(),
        "ci_low": ci_low,
        "ci_high": ci_high,
        "difference": (better - worse) / n,
        "difference_ci_low": float(low),
        "difference_ci_high": float(high),
    }
    return pd.DataFrame([row])


def _drops(masks: list[RandomMask], changes: np.ndarray, of_reference: np.ndarray) -> pd.DataFrame:
    """The rows of what masks cost, and how much more that is than with another model.

    Args:
        masks: as many as there are rows.
        changes: of the predictions of one model, as `_changes`, (masks, n).
        of_reference: of the other model, likewise.
    """
    n = changes.shape[1]
    lost, gained = np.sum(changes > 0, axis=1), np.sum(changes < 0, axis=1)
    ci_low, ci_high = difference_interval(lost, gained, n)

    # The costs of a frame differ by up to 2, which is twice what the interval is for.
    differing = changes - of_reference
    half_low, half_high = bounded_mean_interval(differing / 2)
    return pd.DataFrame(
        {
            "measure": "random_drop",
            "view": [mask.view for mask in masks],
            "level_percent": [mask.level_percent for mask in masks],
            "n": n,
            "value": changes.mean(axis=1),
            "ci_low": ci_low,
            "ci_high": ci_high,
            "difference": differing.mean(axis=1),
            "difference_ci_low": 2 * half_low,
            "difference_ci_high": 2 * half_high,
        }
    )


def measure(models: Mapping[str, ExplainedModel], index: np.ndarray) -> MaskedAccuracy:
    """Predicts frames whole and without random lit pixels.

    Args:
        models: name -> a model of the same input, frames and seed as the others.
        index: frames (n, 3) that none of them was trained on.

    Returns:
        What each model was right about.
    """
    any_model = next(iter(models.values()))
    masks = masks_of(any_model.data.render.views)
    hits: dict[str, list[np.ndarray]] = {name: [] for name in models}

    for start in progress(range(0, len(index), BATCH), f"random masks, {BATCH} frames each"):
        part = index[start : start + BATCH]
        frames = Frames.of(any_model, part)
        lists = [_nothing(len(part)), *_pixel_lists(any_model, frames, part, masks)]
        targets = torch.from_numpy(part[:, :2].T.copy()).to(any_model.device)  # (heads, n)
        for name, one in models.items():
            right = [_is_right(frames, one, pixels, targets) for pixels in lists]
            hits[name].append(np.stack(right))  # (1 + masks, heads, n)

    joined = {name: np.concatenate(parts, axis=2) for name, parts in hits.items()}
    return MaskedAccuracy(
        masks=masks,
        whole={name: right[0] for name, right in joined.items()},
        masked={name: right[1:] for name, right in joined.items()},
        snr_db=np.array(any_model.data.snrs_db)[index[:, 1]],
    )


def masks_of(views: tuple[str, ...]) -> list[RandomMask]:
    """Every level in every view, and in all of them at once where there are several."""
    places = (*views, ALL_VIEWS) if len(views) > 1 else views
    return [RandomMask(view, level) for view in places for level in LEVELS_PERCENT]


def _is_right(
    frames: Frames, explained: ExplainedModel, pixels: PixelList, targets: torch.Tensor
) -> np.ndarray:
    """Whether each head names the true class of each frame without some pixels, (heads, n)."""
    logits = frames.predict(explained.model, *pixels)
    predicted = torch.stack([of_head.argmax(1) for of_head in logits])  # (heads, n)
    return (predicted == targets).cpu().numpy()


def _nothing(frames: int) -> PixelList:
    return np.empty(0, np.int64), np.zeros(frames + 1, np.int64)


def _pixel_lists(
    explained: ExplainedModel, frames: Frames, index: np.ndarray, masks: list[RandomMask]
) -> list[PixelList]:
    """The pixels that each mask takes. Masks of a view begin one random order of its lit pixels."""
    render = explained.data.render
    rngs = explained.generators("random mask", explained.data.identities(index))
    counts = frames.probe.counts.cpu().numpy()
    by_view = counts.reshape(len(counts), len(render.views), -1)  # (n, views, pixels of a view)

    orders: dict[str, list[np.ndarray]] = {}  # of the pixels of each frame
    for number, view in enumerate(render.views):
        first = number * by_view.shape[2]
        orders[view] = [
            first + rng.permutation(np.flatnonzero(of_frame[number]))
            for rng, of_frame in zip(rngs, by_view, strict=True)
        ]

    lists = []
    for mask in masks:
        views = render.views if mask.view == ALL_VIEWS else (mask.view,)
        taken = [
            np.concatenate([_first(orders[view][i], mask.level_percent) for view in views])
            for i in range(len(index))
        ]
        offsets = np.cumsum([0, *map(len, taken)])
        lists.append((np.concatenate(taken), offsets))
    return lists


def _first(order: np.ndarray, level_percent: float) -> np.ndarray:
    return order[: exact_size(len(order), level_percent)]
