"""How faithful an attribution is to the model: deletion, insertion, infidelity, sensitivity.

The measures take the maps of any method, and the ranking of PIS. Deletion and insertion mask pixels
in the order of their scores, by the code that masks those of PIS.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from pisces.attribution.head import Context
from pisces.attribution.methods import RANDOM
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean
from pisces.evaluation.inference import BATCH
from pisces.pis.brightness import exact_size

CURVES = ("deletion", "insertion")
PERTURBED_PERCENT = 10
"""Of the lit pixels of an image, in each perturbation of `infidelity`."""

Forward = Callable[..., torch.Tensor]
"""(images, *context) -> logits (n, classes)."""
PredictMasked = Callable[[np.ndarray, np.ndarray], torch.Tensor]
"""(pixels, offsets), as in `inputs.pixels` -> logits (n, classes) of frames without them."""
Explain = Callable[[torch.Tensor, torch.Tensor, Context], torch.Tensor]
"""(images, targets, context) -> maps like the images."""


# Deletion and insertion


def order(scores: np.ndarray, counts: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The lit pixels of each frame by falling score.

    Where the scores are the counts themselves, the first k pixels are the exact mask `top` of that
    size, as PIS has it.

    Args:
        scores: (n, pixels).
        counts: points in each pixel, (n, pixels).
        ties: random numbers (n, pixels) that order equal scores, the smaller first.

    Returns:
        Pixel numbers, int64 (n, lit pixels of the frame that has the most); a frame of fewer ends
        in -1.
    """
    lit = counts != 0
    n_lit = np.count_nonzero(lit, axis=1)
    ordered = np.full((len(counts), n_lit.max(initial=0)), -1)
    for row, is_lit, score, tie in zip(ordered, lit, scores, ties, strict=True):
        # One pixel in 50 or less is lit, and only these are sorted.
        pixels = np.flatnonzero(is_lit)
        by_score = np.lexsort((tie[pixels], -score[pixels]))  # the last key is the first to sort by
        row[: len(pixels)] = pixels[by_score]
    return ordered


@torch.no_grad()
def curves(
    predict_masked: PredictMasked,
    counts: torch.Tensor,
    order: np.ndarray,
    levels_percent: tuple[float, ...],
    targets: torch.Tensor,
) -> dict[str, np.ndarray]:
    """Probability of a class as more and more pixels are masked, and as more and more are shown.

    A good ranking has a deletion curve that falls early and an insertion curve that rises early.

    The deletion and insertion metrics of Petsiuk, Das and Saenko ("RISE", BMVC 2018), with a dark
    image to end at and to start from. At a level, the first round(level % of the lit pixels of all
    views) of a frame are masked (deletion), or all others (insertion).

    Args:
        predict_masked: what the model predicts without some pixels.
        counts: points in each pixel of all views, (n, pixels).
        order: pixel numbers of each frame, its lit pixels first, as `order` gives them.
        levels_percent: rising; level 0 is put before them.
        targets: classes (n,) whose softmax probability is taken.

    Returns:
        `deletion` and `insertion`, each (n, levels + 1) within 0..1.
    """
    n_lit = (counts > 0).sum(1).cpu().numpy()
    none = np.zeros_like(n_lit)
    deletion, insertion = [], []

    for level in (0, *levels_percent):
        n_first = np.array([exact_size(n, level) for n in n_lit])
        first, others = _stretch(order, none, n_first), _stretch(order, n_first, n_lit)
        deletion.append(_target_probability(predict_masked(*first), targets))
        insertion.append(_target_probability(predict_masked(*others), targets))

    return {"deletion": np.stack(deletion, axis=1), "insertion": np.stack(insertion, axis=1)}


def _target_probability(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """Softmax probability (n,) of the class `targets` (n,), of logits (n, classes)."""
    probabilities = logits.float().softmax(1)
    of_target = probabilities.gather(1, targets[:, None])[:, 0]
    return of_target.cpu().numpy()


def _stretch(
    order: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The lists `order[i, start[i]:stop[i]]` of all frames, as (pixels, offsets)."""
    place = np.arange(order.shape[1])
    inside = (start[:, None] <= place) & (place < stop[:, None])
    offsets = np.concatenate([[0], np.cumsum(stop - start)])
    return order[inside], offsets


def area(curve: np.ndarray, levels_percent: tuple[float, ...]) -> np.ndarray:
    """Mean height (n,) of curves (n, levels + 1) from level 0 to the last, by the trapezoidal rule.

    Of a `deletion` curve less is better, of an `insertion` curve more.
    """
    levels = np.array([0, *levels_percent])
    return np.trapezoid(curve, levels, axis=1) / levels[-1]


# Infidelity and sensitivity


def infidelity(
    forward: Forward,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: torch.Tensor,
    samples: int,
    rngs: Sequence[np.random.Generator],
    context: Context = (),
) -> np.ndarray:
    """Mean squared difference between the drop of a logit and the drop that a map predicts.

    A perturbation sets `PERTURBED_PERCENT` of the lit pixels of an image to 0, drawn at random, one
    pixel at least. Each channel of a pixel counts as a pixel of its own. The map predicts that the
    logit falls by the sum of its scores there, times a factor fitted to each image. So maps in
    different units can be compared, and a map scores as its negative does. A map of zeros predicts
    no drop: its infidelity is the mean square of the drops.

    Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019; normalised as
    in captum.

    Args:
        forward: the head that is explained.
        images: (n, channels, size, size).
        maps: like the images.
        targets: classes (n,).
        samples: perturbations of each image.
        rngs: one a frame. In the same state they draw the same perturbations whatever the map, so
            that methods are compared on equal ones.
        context: what frames carry beside their image.

    Returns:
        (n,) in squared logits, 0 or more; low is good.
    """
    step = max(1, BATCH // samples)  # frames at once
    found = []
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        of_part = _captum_infidelity(
            forward,
            images[part],
            maps[part],
            targets[part],
            samples,
            rngs[part],
            context=tuple(column[part] for column in context),
        )
        found.append(of_part.cpu().numpy())
    return np.concatenate(found)


def _captum_infidelity(
    forward: Forward,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: torch.Tensor,
    samples: int,
    rngs: Sequence[np.random.Generator],
    context: Context,
) -> torch.Tensor:
    """`infidelity` of few enough frames for memory, (n,)."""
    from captum import metrics

    found = metrics.infidelity(
        forward,
        partial(_perturb, rngs),
        images,
        maps,
        additional_forward_args=context,
        target=targets,
        n_perturb_samples=samples,
        normalize=True,
    )
    # Captum expands the square into three sums, which rounding may leave below 0.
    return found.clamp_min(0)


def _perturb(
    rngs: Sequence[np.random.Generator], images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks like the images, 1 where a pixel is masked and else 0, and the images without these.

    Images are (frames * samples, channels, size, size), the samples of a frame one after the other.
    """
    by_frame = images.view(len(rngs), -1, images[0].numel())  # (frames, samples, pixels)
    masked = torch.zeros_like(by_frame)

    # The samples of a frame still are the same image, so the first one stands for all.
    first_samples = by_frame[:, 0].cpu().numpy()
    for mask, rng, image in zip(masked, rngs, first_samples, strict=True):
        lit = np.flatnonzero(image)
        n = max(1, exact_size(len(lit), PERTURBED_PERCENT))
        shuffled = rng.permuted(np.tile(lit, (len(mask), 1)), axis=1)  # (samples, lit)
        mask.scatter_(1, torch.from_numpy(shuffled[:, :n]).to(images.device), 1.0)

    masked = masked.view_as(images)
    return masked, images * (1 - masked)


def sensitivity(
    explain: Explain,
    images: torch.Tensor,
    targets: torch.Tensor,
    radius: float,
    samples: int,
    rngs: Sequence[np.random.Generator],
    context: Context = (),
) -> np.ndarray:
    """Largest relative change of a map when every pixel value of its image changes a little.

    That is the norm of the change over the norm of the map: max-sensitivity of Yeh et al. (NeurIPS
    2019), as in captum. Norms are Euclidean, and that of a map of zeros counts as 1.

    Args:
        explain: makes maps of n * samples images at once. One that needs gradients must turn them
            on. One that draws must draw the same each time, or its own scatter is measured.
        images: (n, channels, size, size).
        targets: classes (n,).
        radius: largest change of a pixel value, of dark pixels too.
        samples: uniform draws, of which the largest change counts.
        rngs: one a frame.
        context: what frames carry beside their image.

    Returns:
        (n,), 0 or more; low is good, and 0 is a map that does not change.
    """

    from captum import metrics

    def explained(given: torch.Tensor | tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        # Captum wraps the unchanged images in a tuple, and no others.
        shaken = given[0] if isinstance(given, tuple) else given  # (n * samples, ...)
        times = len(shaken) // len(images)
        repeated_targets = targets.repeat_interleave(times, 0)
        repeated_context = tuple(column.repeat_interleave(times, 0) for column in context)
        maps = explain(shaken, repeated_targets, repeated_context)
        return (maps.contiguous(),)  # captum flattens them by a view

    shake = partial(_shake, rngs, radius)
    largest = metrics.sensitivity_max(explained, images, shake, n_perturb_samples=samples)
    return largest.cpu().numpy()


def _shake(
    rngs: Sequence[np.random.Generator], radius: float, images: torch.Tensor
) -> torch.Tensor:
    """Images plus uniform noise; (frames * samples, ...), the samples of a frame together."""
    shape = (len(images) // len(rngs), *images.shape[1:])
    noise = [rng.uniform(-radius, radius, shape).astype(np.float32) for rng in rngs]
    return images + torch.from_numpy(np.concatenate(noise)).to(images.device)


# Intervals


def summarise(
    values: dict[str, np.ndarray], resamples: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Mean of one measure over frames for each method, and its difference to the random baseline.

    Args:
        values: method -> (n,), one a frame, NaN where a frame has none. The difference is taken
            frame by frame, over frames that have a value of both.
        resamples: of the bootstrap over frames.
        rng: decides the resamples, which are the same for all methods.

    Returns:
        Method -> `frames`, `mean`, `ci_low`, `ci_high`, `difference`, `difference_ci_low`,
        `difference_ci_high`; the intervals are of 95 %, see `stats.bootstrap_mean`.

    Raises:
        ValueError: when the method "random" is not among them.
    """
    if RANDOM not in values:
        raise ValueError(f"there is no {RANDOM!r} among {', '.join(values)} to compare with")
    seed = int(rng.integers(2**63))

    result = {}
    for method, of_method in values.items():
        mean = bootstrap_mean(of_method, resamples, generator(seed, "resamples"))
        paired = of_method - values[RANDOM]
        difference = bootstrap_mean(paired, resamples, generator(seed, "resamples"))
        result[method] = mean | {
            "difference": difference["mean"],
            "difference_ci_low": difference["ci_low"],
            "difference_ci_high": difference["ci_high"],
        }
    return result
