"""How well an attribution says what an answer hangs on, whatever the method: one scale for all of them, and for PIS.

A map scores pixels. Its worth shows when the pixels that it scores highest are taken out, by the code that takes those of a mask out.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from captum import metrics
from scipy.stats import rankdata

from pisces.core.seeding import generator
from pisces.evaluation.inference import BATCH
from pisces.pis.masks import exact_size

CHANCE = "random"
"""The method that every other is compared with."""
BOOTSTRAP_CHUNK = 1 << 20  # draws held at a time
PUT_OUT_PERCENT = 10
"""Of the lit pixels of an image, in each perturbation of `infidelity`."""

Forward = Callable[..., torch.Tensor]
"""(images, *context) -> logits (n, classes)."""
Without = Callable[[np.ndarray, np.ndarray], torch.Tensor]
"""Lists of pixels, as in `inference.remove_pixels` -> logits (n, classes) of the frames without them."""


def order(scores: np.ndarray, counts: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Pixel numbers by falling score, int64 (n, pixels): lit pixels first, dark ones, which have nothing to give up, last.

    All arrays are (n, pixels). `ties` holds random numbers, by which equal scores are ordered, the smaller first, as in the masks of PIS:
    where the scores are the counts themselves, the beginnings are its exact masks `top`.
    """
    return np.lexsort((ties, -scores, counts == 0))


@torch.no_grad()
def curves(
    forward_without: Without,
    counts: torch.Tensor,
    order: np.ndarray,
    levels_percent: tuple[float, ...],
    targets: torch.Tensor,
) -> dict[str, np.ndarray]:
    """What is left of the answer when the first pixels of `order` (n, pixels) go, and what they say alone, at rising levels.

    Each array is (n, levels + 1), with level 0 first. `deletion` is the softmax probability of the class `targets` (n,) once the first
    round(level % of the lit pixels of all views) are emptied, and `insertion` once all others are: the deletion and insertion metrics
    of Petsiuk, Das and Saenko (BMVC 2018), with a dark image to end at and to start from. `deletion_answer` and `insertion_answer` are the
    most probable classes, int64, from which accuracies follow as in PIS. Dark pixels, of counts (n, pixels) 0, must come last in `order`.
    """
    lit = (counts > 0).sum(1).cpu().numpy()
    found = defaultdict(list)
    for level in (0, *levels_percent):
        taken = np.array([exact_size(n, level) for n in lit])
        for name, start, stop in (
            ("deletion", np.zeros_like(lit), taken),
            ("insertion", taken, lit),
        ):
            probability = forward_without(*_stretch(order, start, stop)).float().softmax(1)
            found[name].append(probability.gather(1, targets[:, None])[:, 0].cpu().numpy())
            found[f"{name}_answer"].append(probability.argmax(1).cpu().numpy())
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def _stretch(
    order: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`order[i, start[i]:stop[i]]` of every frame one after the other, and where each begins."""
    place = np.arange(order.shape[1])
    inside = (start[:, None] <= place) & (place < stop[:, None])
    return order[inside], np.concatenate([[0], np.cumsum(stop - start)])


def area(curve: np.ndarray, levels_percent: tuple[float, ...]) -> np.ndarray:
    """Mean height (n,) of curves (n, levels + 1) from level 0 to the last one, by the trapezoidal rule.

    Of a `deletion` curve less is better, of an `insertion` curve more.
    """
    levels = np.array([0, *levels_percent])
    return np.trapezoid(curve, levels, axis=1) / levels[-1]


def infidelity(
    forward: Forward,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: torch.Tensor,
    samples: int,
    rngs: Sequence[np.random.Generator],
    *context: torch.Tensor,
) -> np.ndarray:
    """Mean squared difference (n,), in squared logits, between what a map foretells and what happens when lit pixels are put out.

    Each of the `samples` perturbations sets a random tenth of the lit pixels (channels count apart) of an image to 0, one at least. The map
    foretells that the logit of the target falls by the sum of its scores there, times a factor that is fitted to each image, so
    that maps in other units compare: infidelity after Yeh et al. (NeurIPS 2019), normalised as in captum. The factor may be negative: a
    map and its negative score alike. A map of zeros foretells nothing and has the mean square of the changes themselves.

    `images` and `maps` are (n, channels, size, size), `targets` (n,), `rngs` one a frame, and `context` what frames carry beside their
    image. In the same state they draw the same perturbations whatever the map, so that methods are compared on equal ones.
    """
    frames, found = max(1, BATCH // samples), []
    for part in (slice(start, start + frames) for start in range(0, len(images), frames)):
        found.append(
            metrics.infidelity(
                forward,
                partial(_put_out, rngs[part]),
                images[part],
                maps[part],
                additional_forward_args=tuple(one[part] for one in context),
                target=targets[part],
                n_perturb_samples=samples,
                normalize=True,
            )
        )
    # Captum takes a square apart into three sums, which rounding may leave below 0.
    return torch.cat(found).clamp_min(0).cpu().numpy()


def _put_out(
    rngs: Sequence[np.random.Generator], images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pixels go, 1 or 0, and images without them, for images (frames * samples, ...), the samples of a frame together."""
    repeated = images.view(len(rngs), -1, images[0].numel())  # (frames, samples, pixels)
    taken = torch.zeros_like(repeated)
    for frame, rng, image in zip(taken, rngs, repeated[:, 0].cpu().numpy(), strict=True):
        lit = np.flatnonzero(image)
        at_random = rng.permuted(np.tile(lit, (len(frame), 1)), axis=1)  # (samples, lit)
        chosen = at_random[:, : max(1, exact_size(len(lit), PUT_OUT_PERCENT))]
        frame.scatter_(1, torch.from_numpy(chosen).to(images.device), 1.0)
    taken = taken.view_as(images)
    return taken, images * (1 - taken)


def sensitivity(
    explain: Callable[..., torch.Tensor],
    images: torch.Tensor,
    targets: torch.Tensor,
    radius: float,
    samples: int,
    rngs: Sequence[np.random.Generator],
    *context: torch.Tensor,
) -> np.ndarray:
    """Largest change (n,) of a map, over its norm, when every pixel value of its image changes by up to `radius`; 0 is steady.

    Largest of `samples` uniform draws, dark pixels included; norms are Euclidean, and that of a map of zeros counts as 1: max-sensitivity
    of Yeh et al. (NeurIPS 2019), as in captum. `explain(images (k, channels, size, size), targets (k,), *context)` gives maps of that
    shape for n * samples images at once, and `rngs` are one a frame. An explanation that needs gradients must turn them on, and one that
    draws must draw the same each time, or its own scatter is measured.
    """

    def explained(given: torch.Tensor | tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        given = (
            given[0] if isinstance(given, tuple) else given
        )  # captum wraps the images as they are, and no others
        maps = explain(
            given,
            *(one.repeat_interleave(len(given) // len(one), 0) for one in (targets, *context)),
        )
        return (maps.contiguous(),)  # captum flattens them by a view

    shake = partial(_shake, rngs, radius)
    return (
        metrics.sensitivity_max(explained, images, shake, n_perturb_samples=samples).cpu().numpy()
    )


def _shake(
    rngs: Sequence[np.random.Generator], radius: float, images: torch.Tensor
) -> torch.Tensor:
    shape = (len(images) // len(rngs), *images.shape[1:])
    noise = np.concatenate([rng.uniform(-radius, radius, shape).astype(np.float32) for rng in rngs])
    return images + torch.from_numpy(noise).to(images.device)


def rank_correlation(one: np.ndarray, other: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Spearman's correlation (n,) of two rankings of the lit pixels of each frame, equal scores sharing their middle rank.

    All arrays are (n, pixels), `lit` of bool. NaN where a ranking is constant, or fewer than two pixels are lit.
    """
    return np.array([_spearman(a[at], b[at]) for a, b, at in zip(one, other, lit, strict=True)])


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    a, b = (rank - rank.mean() for rank in (rankdata(one), rankdata(other)))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def summarise(
    values: dict[str, np.ndarray], resamples: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Method -> mean of its values (n,), one a frame, and what that is above chance, each with its interval; see `mean`.

    Keys: `frames`, `mean`, `ci_low`, `ci_high`, `difference`, `difference_ci_low`, `difference_ci_high`. The difference to the method
    "random" is taken frame by frame, and from frames that have a value of both. All methods see the same resamples.

    Raises:
        ValueError: when the method "random" is not among them.
    """
    if CHANCE not in values:
        raise ValueError(
            f"there is no {CHANCE!r} among {', '.join(values)} to compare with; add its values"
        )
    seed = int(rng.integers(2**63))
    result = {}
    for method, column in values.items():
        own, above = (
            mean(one, resamples, generator(seed, "resamples"))
            for one in (column, column - values[CHANCE])
        )
        renamed = {
            "mean": "difference",
            "ci_low": "difference_ci_low",
            "ci_high": "difference_ci_high",
        }
        result[method] = own | {new: above[old] for old, new in renamed.items()}
    return result


def mean(values: np.ndarray, resamples: int, rng: np.random.Generator) -> dict[str, float]:
    """`mean` of values (n,) over frames with its 95 % percentile-bootstrap interval `ci_low`, `ci_high`, and how many `frames` it is of.

    A NaN, where a frame has no value, is left out; without any value all but `frames` are NaN.
    """
    values = values[~np.isnan(values)]
    n = len(values)
    if not n:
        return {"frames": 0, "mean": np.nan, "ci_low": np.nan, "ci_high": np.nan}
    rows = max(1, BOOTSTRAP_CHUNK // n)
    draws = (
        rng.integers(n, size=(min(rows, resamples - done), n)) for done in range(0, resamples, rows)
    )
    resampled = np.concatenate([values[drawn].mean(axis=1) for drawn in draws])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"frames": n, "mean": float(values.mean()), "ci_low": float(low), "ci_high": float(high)}
