"""Attribution methods: how much each pixel of an image speaks for a class.

A map has the shape of the image, (channels, size, size); the larger a value, the more the pixel
speaks for the class. A masked pixel is black (0), as in the perturbations of `pisces.pis`.

A model of raw IQ sees no image. Then the image that is explained holds the number of points in each
pixel, and darkening a pixel lowers the amplitude of the samples in it: see `Input.from_images`.

A new method is a class like `Method` and one entry in `METHODS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch.nn import functional

from pisces.attribution import gradcam_layers, rise
from pisces.attribution.head import Context, Head, frames_at_once
from pisces.attribution.integrated_gradients import IntegratedGradients
from pisces.attribution.settings import AttributionSettings
from pisces.attribution.shapley import LeaveOneOut, Shapley
from pisces.core.seeding import generator
from pisces.pis.regions import length_in_pixels

BRIGHTNESS, RANDOM = "brightness", "random"
REFERENCES = (BRIGHTNESS, RANDOM)
"""What the methods are compared with: the ranking that PIS uses, and the random baseline."""


class Method(Protocol):
    """A way to attribute a prediction to pixels; objects of it hold their settings."""

    name: ClassVar[str]
    needs_map: ClassVar[bool]
    """Whether a layer of the model must be a map of the image, which models of raw IQ lack."""

    @classmethod
    def from_settings(cls, settings: AttributionSettings, seed: int, /) -> Self:
        """The method as `settings` say; `seed` decides all that it draws, whatever the batch."""
        ...

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context, /
    ) -> torch.Tensor:
        """Maps (n, channels, size, size) of few enough frames for memory.

        Called by the function `attribute` of this module, which says what the arguments are.
        """
        ...


def attribute(
    method: Method,
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    context: Context = (),
) -> torch.Tensor:
    """Maps of any number of frames, by one method; no frame depends on others in its batch.

    Args:
        method: an object of a class of `METHODS`.
        head: the head of the model that is explained.
        images: what is explained, (n, channels, size, size).
        targets: the classes that pixels speak for, int64 (n,).
        context: what the frames carry beside their images.

    Returns:
        Maps float32 (n, channels, size, size), without a gradient.

    Raises:
        ValueError: for settings that do not fit the model or the image.

    >>> import torch
    >>> from pisces.models import Architecture, build
    >>> model = build(Architecture("resnet18", "plain", "standard"), (1, 32, 32), 4, (0, 10, 20))
    >>> images = torch.rand(2, 1, 32, 32)
    >>> maps = attribute(Occlusion(0.25, 0.25), Head(model, "snr"), images, torch.tensor([0, 2]))
    >>> maps.shape
    torch.Size([2, 1, 32, 32])
    """
    (maps,) = attribute_heads(method, [head], images, [targets], context)
    return maps


def attribute_heads(
    method: Method,
    heads: Sequence[Head],
    images: torch.Tensor,
    targets: Sequence[torch.Tensor],
    context: Context = (),
) -> list[torch.Tensor]:
    """Maps for several heads of one model: those of `attribute`, from fewer passes if they can be.

    Args:
        method: as for `attribute`.
        heads: of the same model.
        images: what is explained, (n, channels, size, size).
        targets: of each head, classes int64 (n,).
        context: what the frames carry beside their images.

    Returns:
        Of each head, maps float32 (n, channels, size, size).
    """
    images = images.detach()
    step = frames_at_once(images, context)

    parts: list[list[torch.Tensor]] = [[] for _ in heads]
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        targets_of_part = [classes[part] for classes in targets]
        context_of_part = tuple(column[part] for column in context)
        maps = _maps_of_part(method, heads, images[part], targets_of_part, context_of_part)
        for of_head, one in zip(parts, maps, strict=True):
            of_head.append(one.detach().float())
    return [torch.cat(of_head) for of_head in parts]


def _maps_of_part(
    method: Method,
    heads: Sequence[Head],
    images: torch.Tensor,
    targets: Sequence[torch.Tensor],
    context: Context,
) -> list[torch.Tensor]:
    """`attribute_heads` of few enough frames for memory."""
    if isinstance(method, Rise):
        return method.attribute_heads(heads, images, targets, context)
    pairs = zip(heads, targets, strict=True)
    return [method.attribute(head, images, classes, context) for head, classes in pairs]


@dataclass(frozen=True)
class GradCam:
    """Where the map of a layer speaks for the class, the same for all channels.

    The map is enlarged bilinearly to the image, and shows no detail finer than one of its cells.
    Only for models that see the image.

    Selvaraju et al., "Grad-CAM", ICCV 2017.
    """

    name: ClassVar[str] = "grad_cam"
    needs_map: ClassVar[bool] = True

    layer: str  # of the backbone, or auto: see gradcam_layers.readable

    @classmethod
    def from_settings(cls, settings: AttributionSettings, _seed: int) -> Self:
        return cls(settings.layer)

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        from captum import attr

        model, map_module = gradcam_layers.readable(head.model, images, self.layer)
        twin = type(head)(model, head.task)
        grad_cam = attr.LayerGradCam(twin, map_module)
        coarse = grad_cam.attribute(
            images,
            target=targets,
            additional_forward_args=context or None,
            relu_attributions=True,
        )
        head.forward_frames += twin.forward_frames
        head.backward_frames += twin.backward_frames

        # (n, 1, rows, columns) -> (n, 1, size, size)
        size = images.shape[2:]
        fine = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
        return fine.expand_as(images)


@dataclass(frozen=True)
class Gradient:
    """The image times the gradient of the logit: what a pixel is worth to a straight line.

    Shrikumar et al., "Not just a black box: learning important features through propagating
    activation differences", arXiv 1605.01713 (2016).
    """

    name: ClassVar[str] = "gradient"
    needs_map: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, _settings: AttributionSettings, _seed: int) -> Self:
        return cls()

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        from captum import attr

        shown = images.detach().requires_grad_()
        explained = attr.InputXGradient(head)
        return explained.attribute(shown, target=targets, additional_forward_args=context)


@dataclass(frozen=True)
class Occlusion:
    """How much the logit falls when a square of one channel goes dark.

    Windows at the end of a row or column are cut at the border, and a pixel has the mean of the
    windows that cover it. Zeiler and Fergus, "Visualizing and understanding convolutional
    networks", ECCV 2014.
    """

    name: ClassVar[str] = "occlusion"
    needs_map: ClassVar[bool] = False

    window: float  # side of the square, over that of the image; 1 px at least
    stride: float  # from one window to the next, over the side of the image; 1 px at least

    @classmethod
    def from_settings(cls, settings: AttributionSettings, _seed: int) -> Self:
        return cls(settings.window, settings.stride)

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        from captum import attr

        side = length_in_pixels(self.window, images.shape[-1])
        step = length_in_pixels(self.stride, images.shape[-1])
        windows_at_once = max(1, frames_at_once(images, context) // len(images))
        return attr.Occlusion(head).attribute(
            images,
            sliding_window_shapes=(1, side, side),
            strides=(1, step, step),
            baselines=0.0,
            target=targets,
            additional_forward_args=context,
            perturbations_per_eval=windows_at_once,
        )


@dataclass(frozen=True)
class Rise:
    """Mean probability of the class over random masks, weighted by what each lets through.

    After Petsiuk, Das and Saenko, "RISE", BMVC 2018, with one difference. They divide by the chance
    `keep`; here each pixel is divided by the mean of the masks drawn. That some pixels are let
    through more often by chance then cancels: fewer masks suffice, and a constant model has a flat
    map. All frames share the masks.
    """

    name: ClassVar[str] = "rise"
    needs_map: ClassVar[bool] = False

    masks: int
    cells: int  # along each side of a mask
    keep: float  # chance of a cell to stay, 0..1
    seed: int

    @classmethod
    def from_settings(cls, settings: AttributionSettings, seed: int) -> Self:
        return cls(settings.rise_masks, settings.rise_cells, settings.rise_keep, seed)

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        (maps,) = self.attribute_heads([head], images, [targets], context)
        return maps

    def attribute_heads(
        self,
        heads: Sequence[Head],
        images: torch.Tensor,
        targets: Sequence[torch.Tensor],
        context: Context,
    ) -> list[torch.Tensor]:
        """The maps of several heads of one model, which is shown each masked image once."""
        channels, size = images.shape[1:3]
        rng = generator(self.seed, "rise")
        drawn = rise.draw_grids(self.masks, channels, size, self.cells, self.keep, rng=rng)
        return rise.mean_under_masks(heads, images, targets, context, drawn)


@dataclass(frozen=True)
class Brightness:
    """The image itself, by which PIS ranks pixels."""

    name: ClassVar[str] = BRIGHTNESS
    needs_map: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, _settings: AttributionSettings, _seed: int) -> Self:
        return cls()

    def attribute(
        self, _head: Head, images: torch.Tensor, _targets: torch.Tensor, _context: Context
    ) -> torch.Tensor:
        return images


@dataclass(frozen=True)
class RandomBaseline:
    """Uniform noise 0..1, drawn by a generator seeded with which pixels of the frame are lit.

    So the noise belongs to the frame, and is the same in every batch.
    """

    name: ClassVar[str] = RANDOM
    needs_map: ClassVar[bool] = False

    seed: int

    @classmethod
    def from_settings(cls, _settings: AttributionSettings, seed: int) -> Self:
        return cls(seed)

    def attribute(
        self, _head: Head, images: torch.Tensor, _targets: torch.Tensor, _context: Context
    ) -> torch.Tensor:
        lit = (images != 0).flatten(1).cpu().numpy()
        noise = [self._noise(frame, images.shape[1:]) for frame in np.packbits(lit, axis=1)]
        return torch.from_numpy(np.stack(noise)).to(images.device)

    def _noise(self, lit_bits: np.ndarray, shape: torch.Size) -> np.ndarray:
        rng = generator(self.seed, "random", lit_bits.tobytes().hex())
        return rng.random(shape, dtype=np.float32)


_METHODS: tuple[type[Method], ...] = (
    GradCam,
    Gradient,
    IntegratedGradients,
    Occlusion,
    Rise,
    LeaveOneOut,
    Shapley,
    Brightness,
    RandomBaseline,
)
METHODS = {method.name: method for method in _METHODS}
"""Name, as in `attribute.methods` -> class."""
OF_SUMS = (LeaveOneOut.name, Shapley.name)
"""Methods of models that sum over pixels."""


def build(name: str, settings: AttributionSettings, seed: int) -> Method:
    """The method of that name, set up.

    Args:
        name: a key of `METHODS`.
        settings: how the methods are set up.
        seed: `base.seed`; what the method draws depends on it and on its name alone.

    Returns:
        An object for `attribute`.

    Raises:
        ValueError: when there is no such method.
    """
    if name not in METHODS:
        raise ValueError(
            f"there is no attribution method {name!r}; "
            f"attribute.methods may name {', '.join(METHODS)}"
        )
    own_seed = int(generator(seed, "attribute", name).integers(2**63))
    return METHODS[name].from_settings(settings, own_seed)


def applicable(names: tuple[str, ...], spatial: bool, is_summing: bool = False) -> tuple[str, ...]:
    """Those of the methods `names` that can explain a model.

    Args:
        names: as `attribute.methods`.
        spatial: whether layers of the model are maps of the image, as its input says.
        is_summing: whether it sums over pixels; no layer of it is a map then.

    Raises:
        ValueError: when there is none.
    """
    has_map = spatial and not is_summing
    with_map = [name for name in names if has_map or not METHODS[name].needs_map]
    found = tuple(name for name in with_map if is_summing or name not in OF_SUMS)
    if not found:
        kind = "that sums over pixels" if is_summing else "of images" if spatial else "of raw IQ"
        raise ValueError(
            f"attribute.methods = {list(names)} cannot explain a model {kind}; "
            "add integrated_gradients, occlusion or rise"
        )
    return found


def pixel_scores(maps: torch.Tensor, views: int) -> torch.Tensor:
    """One score for each pixel of each view: the channels of a view are added up.

    Maps (n, channels, size, size), a view's channels together -> (n, views * size * size).
    """
    n, channels, *side = maps.shape
    return maps.reshape(n, views, channels // views, *side).sum(2).flatten(1)
