"""How much each pixel of an image made a model say so: maps by four methods, and two references to hold them against.

A map has the shape of the image, (channels, size, size); the larger a value, the more the pixel speaks for the class asked about.
What takes the place of a pixel is always black, as in the perturbations of `pisces.pis.score`.

The image of a model of raw IQ, which sees none, is the points in each pixel, and the model hears each sample as far as the pixels that it
lies in are lit. What frames carry beside their image, to that end, is a context: see `inputs.base.Probe`; for a model conditioned on the
true SNR the labels (n,) come last in it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torch import nn
from torch.nn import functional

from pisces.attribution import gradcam_layers
from pisces.attribution.settings import AttributionSettings
from pisces.core.seeding import generator
from pisces.pis.masks import pixels_of

TASKS = ("modulation", "snr")
SPATIAL = ("grad_cam",)
"""Methods that read a map of the image within the model, of which a model of raw IQ has none."""
VALUES = 2**20
"""Values that go through the model at once, of all images or frames together; what it holds for a backward pass is some 100 times that."""

Method = Callable[..., torch.Tensor]
"""(head, images, targets, *context) -> maps."""


def unaltered(images: torch.Tensor) -> torch.Tensor:
    """Inputs of a model that sees the images themselves."""
    return images


class Head(nn.Module):
    """One head of a model, which it puts in evaluation mode: images (n, channels, size, size) and context -> its scores (n, classes).

    Counts the frames that went forward through the model, and those for which a gradient came back, so that the cost of
    a method can be told in passes.
    """

    def __init__(
        self, model: nn.Module, task: str, from_images: Callable[..., torch.Tensor] = unaltered
    ):
        super().__init__()
        if task not in TASKS:
            raise ValueError(
                f"there is no head for {task!r}; the model has one each for {' and '.join(TASKS)}"
            )
        self.model = model.eval()
        self.task = task
        self.from_images = from_images
        self.recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
        self.forward_frames = 0
        self.backward_frames = 0

    def forward(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        condition = ()
        if getattr(self.model, "is_oracle", False):
            *context, snr_db = context
            condition = (snr_db,)
        # cuDNN's recurrent layers refuse the way back in evaluation mode; torch's own do not.
        needs_own = self.recurrent and images.requires_grad
        own = torch.backends.cudnn.flags(enabled=False) if needs_own else nullcontext()
        with own:
            heads = self.model(self.from_images(images, *context), *condition)
        scores = heads[TASKS.index(self.task)]
        self.forward_frames += len(images)
        if scores.requires_grad:
            scores.register_hook(self._count_backward)
        return scores

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backward_frames += len(gradient)


def attribute(
    name: str,
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    settings: AttributionSettings,
    rng: np.random.Generator,
    *context: torch.Tensor,
) -> torch.Tensor:
    """Maps float32 (n, channels, size, size) of the method `name` for the classes `targets` int64 (n,) of images (n, channels, size, size).

    Frames do not depend on those beside them: with a generator of the same name for each batch, the batch size does not matter.

    Raises:
        ValueError: for a method that there is not, and for settings that do not fit the model or the image.
    """
    known = methods(settings, int(rng.integers(2**63)))
    if name not in known:
        raise ValueError(f"there is no attribution method {name!r}; there are {', '.join(known)}")
    frames = _frames_at_once(images, *context)
    parts = zip(*(one.split(frames) for one in (images.detach(), targets, *context)), strict=True)
    return torch.cat([known[name](head, *part).detach().float() for part in parts])


def methods(settings: AttributionSettings, seed: int) -> dict[str, Method]:
    """Every method by name, for a number of images that can go through the model at once."""
    return {
        "grad_cam": partial(grad_cam, layer=settings.layer),
        "integrated_gradients": partial(integrated_gradients, steps=settings.ig_steps),
        "occlusion": partial(occlusion, window=settings.window, stride=settings.stride),
        "rise": partial(
            rise,
            masks=settings.rise_masks,
            cells=settings.rise_cells,
            keep=settings.rise_keep,
            seed=seed,
        ),
        "brightness": brightness,
        "random": partial(random, seed=seed),
    }


def grad_cam(
    head: Head, images: torch.Tensor, targets: torch.Tensor, *, layer: str
) -> torch.Tensor:
    """Where the map of `layer` speaks for the class (Selvaraju et al., ICCV 2017, equations 1 and 2), the same for all channels.

    Bilinear between the centres of the cells, of which one is all that it resolves. Only of a model that sees the image: without a context.
    """
    model, module = gradcam_layers.readable(head.model, images, layer)
    twin = Head(model, head.task)
    coarse = LayerGradCam(twin, module).attribute(
        images, target=targets, relu_attributions=True
    )  # (n, 1, rows, columns)
    head.forward_frames += twin.forward_frames
    head.backward_frames += twin.backward_frames
    fine = functional.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
    return fine.expand_as(images)


def integrated_gradients(
    head: Head, images: torch.Tensor, targets: torch.Tensor, *context: torch.Tensor, steps: int
) -> torch.Tensor:
    """The image times the gradient's mean on the straight way to it from a dark one (Sundararajan, Taly and Yan, ICML 2017, section 3).

    By Gauss-Legendre quadrature in `steps` points. The values of an image nearly add up to its score less that of a dark image: exactly
    so for endless steps.
    """
    together = _frames_at_once(images, *context)
    return IntegratedGradients(head).attribute(
        images, 0.0, targets, context, n_steps=steps, internal_batch_size=together
    )


def occlusion(
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    *context: torch.Tensor,
    window: float,
    stride: float,
) -> torch.Tensor:
    """How much the score falls when a square of one channel goes dark (Zeiler and Fergus, ECCV 2014, section 4.2).

    `window` and `stride` are its side and the way to the next one, over the side of the image, and 1 px at least. The last
    windows of a row or column are cut at the border; a pixel has the mean of the windows that cover it.
    """
    side, step = (pixels_of(share, images.shape[-1]) for share in (window, stride))
    together = max(1, _frames_at_once(images, *context) // len(images))
    return Occlusion(head).attribute(
        images,
        (1, side, side),
        (1, step, step),
        0.0,
        targets,
        context,
        perturbations_per_eval=together,
    )


def rise(
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    *context: torch.Tensor,
    masks: int,
    cells: int,
    keep: float,
    seed: int,
) -> torch.Tensor:
    """Mean probability of the class over random masks, each weighted by how much of the pixel it lets through.

    Petsiuk, Das and Saenko (BMVC 2018), equation 6, save that the expectation of the masks is taken from the masks drawn, pixel by
    pixel, and not as the nominal `keep`. That some pixels are let through more often by chance then cancels, so that fewer masks do, and
    a model that always says the same has a flat map. All frames of a `seed` share the masks.
    """
    grids, shifts = _rise_draw(masks, *images.shape[1:3], cells, keep, rng=generator(seed, "rise"))
    together = max(1, _frames_at_once(images, *context) // len(images))
    weighted, weight = torch.zeros_like(images), torch.zeros_like(images[0])
    for some in zip(grids.split(together), shifts.split(together), strict=True):
        passes = _rise_masks(*some, images.shape[-1]).to(images.device)
        weighted += _rise_step(head, images, targets, passes, *context)
        weight += passes.sum(0)
    return weighted / weight.clamp_min(
        torch.finfo(weight.dtype).tiny
    )  # what no mask lets through has 0


@torch.no_grad()
def _rise_step(
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    passes: torch.Tensor,
    *context: torch.Tensor,
) -> torch.Tensor:
    """Sum over the masks `passes` (masks, channels, size, size) of the probability that each leaves, times the mask."""
    masked = (passes[:, None] * images).flatten(0, 1)  # (masks * n, channels, size, size)
    repeated = (one.repeat(len(passes), *[1] * (one.ndim - 1)) for one in context)
    probability = head(masked, *repeated).float().softmax(1).view(len(passes), len(images), -1)
    chosen = probability.gather(2, targets.expand(len(passes), -1)[..., None])[..., 0]  # (masks, n)
    return torch.einsum("mn,mchw->nchw", chosen, passes)


def _rise_draw(
    masks: int, channels: int, size: int, cells: int, keep: float, *, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Grids float32 (masks, channels, cells, cells), 1 with the chance `keep` and else 0; shifts int64 (masks, channels, 2) in pixels."""
    grids = (rng.random((masks, channels, cells, cells)) < keep).astype(np.float32)
    shifts = rng.integers(_cell(size, cells), size=(masks, channels, 2), endpoint=True)
    return torch.from_numpy(grids), torch.from_numpy(shifts)


def _rise_masks(grids: torch.Tensor, shifts: torch.Tensor, size: int) -> torch.Tensor:
    """Masks (masks, channels, size, size) within 0..1: grids drawn out bilinearly to one cell more than the image, from a shift on.

    After Petsiuk, Das and Saenko (BMVC 2018). A cell is rounded up to whole pixels, so that the drawn-out grid always covers the image.
    """
    cells = grids.shape[-1]
    large = functional.interpolate(
        grids, (cells + 1) * _cell(size, cells), mode="bilinear", align_corners=False
    )
    row, column = (shifts[..., None] + torch.arange(size)).unbind(2)  # (masks, channels, size) each
    rows = large.gather(2, row[..., None].expand(-1, -1, -1, large.shape[-1]))
    return rows.gather(3, column[..., None, :].expand(-1, -1, size, -1))


def _cell(size: int, cells: int) -> int:
    return -(-size // cells)


def brightness(_head: Head, images: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    """The image itself, by which PIS ranks pixels."""
    return images


def random(_head: Head, images: torch.Tensor, *_: torch.Tensor, seed: int) -> torch.Tensor:
    """Uniform noise, of each frame from a generator named by the pixels that are lit in it."""
    lit = np.packbits((images != 0).flatten(1).cpu().numpy(), axis=1)
    noise = [
        generator(seed, "random", frame.tobytes().hex()).random(images.shape[1:], dtype=np.float32)
        for frame in lit
    ]
    return torch.from_numpy(np.stack(noise)).to(images.device)


def per_pixel(attributions: torch.Tensor, views: int) -> torch.Tensor:
    """Values (n, views * size * size) of the pixels of each view, its channels added up, from maps (n, channels, size, size)."""
    n, channels, *side = attributions.shape
    return attributions.reshape(n, views, channels // views, *side).sum(2).flatten(1)


def _frames_at_once(images: torch.Tensor, *context: torch.Tensor) -> int:
    seen = context[:3] or (images,)  # a model of raw IQ holds nothing of the size of an image
    return max(1, VALUES // sum(one[0].numel() for one in seen))
