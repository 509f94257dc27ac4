"""What goes wrong in training, and what is done about it instead of ending the run.

- Memory runs out: the batch is split into micro-batches (gradient accumulation).
- A loss or gradient is not finite: the step is skipped.
- Too many steps in a row are skipped, or the validation loss is not finite: training rolls back
  to the last checkpoint, with half the learning rate.
- A checkpoint is damaged: it is put aside, and training starts from the beginning.
"""

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from lightning_fabric import Fabric

from pisces.core.texts import counted
from pisces.data.datasets import Batch
from pisces.training import checkpoints

if TYPE_CHECKING:
    from pisces.training.history import Epoch
    from pisces.training.trainer import Trainer

MAX_ROLLBACKS = 8
T = TypeVar("T")


class Diverged(Exception):
    """Too many steps in a row were skipped, or a validation loss is not finite."""


# Memory


class MicroBatches:
    """How many frames of this process go through the model at once: fewer when memory runs out."""

    def __init__(self, size: int, fabric: Fabric):
        self.size, self.fabric = size, fabric

    def run(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns once it fits into memory; the size is halved until it does.

        Raises:
            ValueError: when two frames do not fit. With several processes nothing is tried again:
                the others would wait for this one for ever.
        """
        while True:
            try:
                return attempt()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self.fabric.world_size > 1 or self.size < 4:
                    raise ValueError(
                        f"out of memory at {counted(self.size, 'frame')} a process ({error}); "
                        "lower train.batch_size or render.size"
                    ) from error
                self.size = math.ceil(self.size / 2)

            # Only here is the error gone, and with it what it keeps of the failed attempt.
            if self.fabric.device.type == "cuda":
                torch.cuda.empty_cache()
            print(
                "out of memory: batches are now split into micro-batches of "
                f"{counted(self.size, 'frame')} (gradient accumulation)",
                flush=True,
            )

    def split(self, batch: Batch) -> list[Batch]:
        """Micro-batches of at most `size` frames, as equal as can be, and never of a single one.

        Three frames stay together rather than as 1 and 2: batch normalisation needs two.
        """
        frames = len(batch.stored)
        needed = math.ceil(frames / self.size)
        most = frames // 2
        columns = [column.tensor_split(min(needed, most)) for column in batch]
        return [Batch(*parts) for parts in zip(*columns, strict=True)]


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out.

    On a CPU no class of errors says so, and oneDNN only that it "could not create a primitive".
    """
    message = str(error).lower()
    return ("memory" in message and "allocate" in message) or "could not create" in message


# Steps that are not finite


class SkippedSteps:
    """Counts the steps of an epoch that are skipped.

    Args:
        most_in_a_row: how many may be skipped one after another.
        epoch: its number, for the message.
    """

    def __init__(self, most_in_a_row: int, epoch: int):
        self.most_in_a_row, self.epoch = most_in_a_row, epoch
        self.total = self.in_a_row = 0

    def taken(self) -> None:
        """A step was taken."""
        self.in_a_row = 0

    def skipped(self) -> None:
        """A step was skipped; raises `Diverged` when that was one too many in a row."""
        self.total += 1
        self.in_a_row += 1
        if self.in_a_row > self.most_in_a_row:
            raise Diverged(
                f"{self.in_a_row} steps in a row of epoch {self.epoch} "
                "had no finite loss and gradient"
            )


# Divergence


def epoch_with_rollbacks(trainer: "Trainer", checkpoint: Path, rate: str = "train.lr") -> "Epoch":
    """The row of one epoch, tried again from the last checkpoint for as long as it diverges.

    Every new attempt has half the learning rate of the one before.

    Args:
        trainer: at the end of an epoch, or before the first.
        checkpoint: its state there; no file before the first epoch.
        rate: the param that the learning rate comes from, for the message.

    Returns:
        The row of the attempt that ended well.

    Raises:
        ValueError: when the last of `MAX_ROLLBACKS` diverges, too.
    """
    epoch = len(trainer.history)
    start = None if epoch else copy.deepcopy(trainer.state())  # there is no checkpoint yet
    for rollbacks in itertools.count():
        if rollbacks:
            state = start or checkpoints.load(checkpoint)
            assert state is not None, "an epoch that has ended leaves a checkpoint"
            trainer.restore(state)
            for _ in range(rollbacks):
                trainer.schedule.halve()
        try:
            return trainer.epoch(rollbacks)
        except Diverged as reason:
            if rollbacks == MAX_ROLLBACKS:
                raise ValueError(
                    f"training diverges even at {trainer.lr:g}, "
                    f"with {rate} halved {MAX_ROLLBACKS} times ({reason}); lower {rate}"
                ) from None
            if trainer.fabric.is_global_zero:
                print(
                    f"{reason}; rolling back to the end of epoch {epoch} "
                    "with half the learning rate",
                    flush=True,
                )
    raise AssertionError("unreachable")


# Damaged checkpoints


def resumed(make: "Callable[[], Trainer]", checkpoint: Path) -> "Trainer":
    """A trainer at the last checkpoint, or at the beginning when there is none that can be used.

    Args:
        make: a fresh trainer.
        checkpoint: the file; no file before the first epoch.

    Returns:
        The trainer. Of several processes all are at the same epoch.
    """
    trainer = make()
    is_first = trainer.fabric.is_global_zero
    try:
        state = checkpoints.load(checkpoint)
        if state is not None:
            trainer.restore(state)
    except Exception as error:  # whatever a damaged state leads to
        if isinstance(error, OSError) or is_out_of_memory(error):
            raise
        trainer.fabric.barrier()  # until all processes have read it
        if is_first:
            checkpoints.put_aside(checkpoint, error)
        # A part of the state may have been restored.
        trainer, state = make(), None

    if state is None:
        trainer.calibrate()
    elif is_first:
        epoch = len(trainer.history)
        print(f"resuming from the last checkpoint, after epoch {epoch}", flush=True)
    return trainer
