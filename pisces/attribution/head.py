"""One output head of a model, modulation or SNR, as the forward function that captum explains.

The models have two heads, and may take raw IQ; captum wants one output of images. The wrapper also
counts forward and backward passes, the cost of a method.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from pisces.core.tasks import HEADS

Context = tuple[torch.Tensor, ...]
"""What frames carry beside their image, tensors of n rows each; see `inputs.base.Probe`.

For a model conditioned on the true SNR, that SNR (n,) in dB comes last.
"""

VALUES_AT_ONCE = 2**20
"""Input values that go through a model in one batch, of all its frames together.

What the model holds for a backward pass is some 100 times that.
"""


def unaltered(images: torch.Tensor) -> torch.Tensor:
    """The images as they are: the input of a model that sees images."""
    return images


def needs_true_snr(model: nn.Module) -> bool:
    """Whether a model is conditioned on the true SNR, and so takes it as an input."""
    return bool(getattr(model, "is_conditioned", False))


def frames_at_once(images: torch.Tensor, context: Context) -> int:
    """How many frames like these go through a model in one batch, at least 1."""
    # A model of raw IQ holds nothing of the size of an image, only what the context begins with:
    # the frames, and the pixel and the sample of each pair. One number a frame holds nothing.
    held = [column for column in context[:3] if column.dim() > 1] or [images]
    values_per_frame = sum(column[0].numel() for column in held)
    return max(1, VALUES_AT_ONCE // values_per_frame)


class Head(nn.Module):
    """Images and context -> the logits of one head of a model.

    `forward_frames` counts the frames that went forward through the model, `backward_frames` those
    for which a gradient came back. Divided by the number of frames they are passes, the cost of an
    attribution method.

    Args:
        model: inputs -> modulation and SNR logits; it is put in evaluation mode.
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
        return self.counted(self.predict(images, *context))

    def predict(
        self, images: torch.Tensor, *context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, classes) of both heads of the model, which are counted nowhere."""
        condition: Context = ()
        if needs_true_snr(self.model):
            context, condition = context[:-1], context[-1:]

        with self._backend(images.requires_grad):
            inputs = self.from_images(images, *context)
            return self.model(inputs, *condition)

    def counted(self, of_both_heads: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The logits of this head, whose passes are counted."""
        logits = self.of_head(of_both_heads)
        self.forward_frames += len(logits)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def of_head(self, of_both_heads: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The logits (n, classes) of this head."""
        return of_both_heads[HEADS.index(self.task)]

    def of_model(self, context: Context) -> Context:
        """The part of the context that the model takes."""
        return context

    def worth(self, logits: torch.Tensor, _context: Context) -> torch.Tensor:
        """What methods that take pixels away measure of logits (n, classes): probabilities."""
        return logits.softmax(1)

    def _backend(self, with_gradient: bool) -> AbstractContextManager[None]:
        # In evaluation mode cuDNN's recurrent layers refuse a backward pass; torch's own do not.
        if self.recurrent and with_gradient:
            return torch.backends.cudnn.flags(enabled=False)
        return nullcontext()

    def _count_backward(self, gradient: torch.Tensor) -> None:
        self.backward_frames += len(gradient)


class DifferenceHead(Head):
    """As `Head`, of logits less that of a rival class, the last of the context: int64 (n,).

    A softmax has the odds of all classes in it, and nears 1 where differences still grow. A
    difference of two logits is what evidence against one rival adds up to.
    """

    def predict(
        self, images: torch.Tensor, *context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As of `Head`, but the logits of this head are less those of the rivals."""
        logits = list(super().predict(images, *self.of_model(context)))
        own = HEADS.index(self.task)
        logits[own] = self.worth(logits[own], context)
        return logits[0], logits[1]

    def of_model(self, context: Context) -> Context:
        return context[:-1]

    def worth(self, logits: torch.Tensor, context: Context) -> torch.Tensor:
        """Logits (n, classes) less those of the rivals."""
        return logits - logits.gather(1, context[-1][:, None])


def logits_of_heads(
    heads: Sequence[Head], images: torch.Tensor, context: Context
) -> list[torch.Tensor]:
    """Logits (n, classes) of several heads of one model, from one pass.

    Each head counts the pass as its own, as if it were alone.

    Args:
        heads: of the same model.
        images: (n, channels, size, size).
        context: what frames carry beside their images.
    """
    of_both_heads = heads[0].predict(images, *context)
    return [head.counted(of_both_heads) for head in heads]
