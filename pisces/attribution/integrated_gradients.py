"""Integrated Gradients, with as many steps as their completeness needs."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from pisces.attribution.head import Context, Head, frames_at_once
from pisces.attribution.settings import AttributionSettings

SMALLEST_RISE = 1e-6
"""Of a logit: less than that is rounding, and no error is taken relative to it."""


@dataclass(frozen=True)
class IntegratedGradients:
    """The image times the mean gradient on the straight path to it from a dark image.

    The mean is by Gauss-Legendre quadrature. The values of a map add up to the logit of the image
    less that of a dark image, the more nearly the more steps. How many a frame needs depends on how
    its logit bends on the way: where `completeness_error` is above the tolerance, the map is made
    again with twice the steps, as long as these are not too many.

    Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017.
    """

    name: ClassVar[str] = "integrated_gradients"
    needs_map: ClassVar[bool] = False

    steps: int  # points of the path, at first
    tolerance: float = math.inf  # largest completeness error that is left as it is
    most_steps: int = 0  # never more than these by doubling

    @classmethod
    def from_settings(cls, settings: AttributionSettings, _seed: int) -> Self:
        return cls(settings.ig_steps, settings.ig_tolerance, settings.ig_most_steps)

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        steps = self.steps
        maps = _integrate(head, images, targets, context, steps)
        if math.isinf(self.tolerance) or 2 * steps > self.most_steps:
            return maps

        rise = _rise(head(images, *context), head(torch.zeros_like(images), *context), targets)
        while 2 * steps <= self.most_steps:
            unfinished = _error(maps, rise) > self.tolerance
            if not unfinished.any():
                break

            steps *= 2
            columns = tuple(column[unfinished] for column in context)
            again = _integrate(head, images[unfinished], targets[unfinished], columns, steps)
            maps[unfinished] = again
        return maps


def completeness_error(
    head: Head,
    maps: torch.Tensor,
    images: torch.Tensor,
    targets: torch.Tensor,
    context: Context,
) -> torch.Tensor:
    """How far the sum of each map is from the rise of the logit, relative to that rise.

    The rise is that from a dark image to the image. The predictions are counted nowhere.

    Args:
        head: whose logits the maps explain.
        maps: (n, channels, size, size).
        images: what they explain, of the same shape.
        targets: the classes they speak for, int64 (n,).
        context: what the frames carry beside their images.

    Returns:
        0 or more, float64 (n,).
    """
    errors = []
    step = frames_at_once(images, context)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        columns = tuple(column[part] for column in context)
        with torch.no_grad():
            whole = head.of_head(head.predict(images[part], *columns))
            dark = head.of_head(head.predict(torch.zeros_like(images[part]), *columns))
        errors.append(_error(maps[part], _rise(whole, dark, targets[part])))
    return torch.cat(errors)


def _integrate(
    head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context, steps: int
) -> torch.Tensor:
    """Maps (n, channels, size, size) by so many points of the path."""
    from captum import attr

    maps = attr.IntegratedGradients(head).attribute(
        images,
        baselines=0.0,
        target=targets,
        additional_forward_args=context,
        n_steps=steps,
        internal_batch_size=frames_at_once(images, context),
    )
    return maps.detach()


def _rise(whole: torch.Tensor, dark: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """From the logits (n, classes) of dark images to those of the images, float64 (n,)."""
    rise = (whole.double() - dark.double()).gather(1, targets[:, None])
    return rise[:, 0].detach()


def _error(maps: torch.Tensor, rise: torch.Tensor) -> torch.Tensor:
    missed = maps.detach().flatten(1).double().sum(1) - rise
    return missed.abs() / rise.abs().clamp(min=SMALLEST_RISE)
