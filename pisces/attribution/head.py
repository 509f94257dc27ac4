"""One head of a model as a function of images, its cost counted in passes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from pisces.core.tasks import HEADS

Context = tuple[torch.Tensor, ...]
"""What frames carry beside their image, tensors of n rows each; see `inputs.base.Probe`.

For a model conditioned on the true SNR the labels (n,) in dB come last."""

VALUES_AT_ONCE = 2**20
"""Values that go through a model at once, of all images or frames together.

What the model holds for a backward pass is some 100 times that."""


def unaltered(images: torch.Tensor) -> torch.Tensor:
    """Inputs of a model that sees the images themselves."""
    return images


def needs_true_snr(model: nn.Module) -> bool:
    """Whether a model is conditioned on the true SNR, so that the labels are an input of it."""
    return bool(getattr(model, "is_oracle", False))


def frames_at_once(images: torch.Tensor, context: Context) -> int:
    """How many frames like these go through a model at once, at least one."""
    # A model of raw IQ holds nothing of the size of an image, only frames, pixels and samples.
    held = context[:3] or (images,)
    values_of_one = sum(column[0].numel() for column in held)
    return max(1, VALUES_AT_ONCE // values_of_one)


class Head(nn.Module):
    """One head of a model, which is put in evaluation mode: images and context -> its logits.

    It counts the frames that go forward through the model and those for which a gradient comes
    back, so that the cost of an attribution method can be given in passes.

    Args:
        model: inputs -> modulation and SNR logits.
        task: which of the two, one of `core.tasks.HEADS`.
        from_images: images (n, channels, size, size) and context -> inputs of the model, as
            `Input.from_images`.

    Raises:
        ValueError: when the model has no such head.
    """

    def __init__(
        self, model: nn.Module, task: str, from_images: Callable[..., torch.Tensor] = unaltered
    ):
        super().__init__()
        if task not in HEADS:
            raise ValueError(f"there is no head {task!r}; the model has {' and '.join(HEADS)}")
        self.model = model.eval()
        self.task = task
        self.from_images = from_images
        self.recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
        self.forward_frames = 0
        self.backward_frames = 0

    def forward(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of images (n, channels, size, size)."""
        condition: Context = ()
        if needs_true_snr(self.model):
            context, condition = context[:-1], context[-1:]

        with self._backend(images.requires_grad):
            heads = self.model(self.from_images(images, *context), *condition)
        logits = heads[HEADS.index(self.task)]

        self.forward_frames += len(images)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _backend(self, with_gradient: bool) -> AbstractContextManager[None]:
        # In evaluation mode cuDNN's recurrent layers refuse a backward pass; torch's own do not.
        if self.recurrent and with_gradient:
            return torch.backends.cudnn.flags(enabled=False)
        return nullcontext()

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backward_frames += len(gradient)
