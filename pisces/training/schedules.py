"""Optimisers and learning-rate schedules by name."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SCHEDULES = ("plateau", "cyclic", "cosine", "one_cycle")

# The lowest rate of a cycle, and that which a warm-up starts from, as a part of `lr`.
CYCLE_BASE, WARMUP_START = 0.1, 0.01


def build_optimizer(
    name: str, parameters: Iterable, lr: float, *, fused: bool = True
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, ICLR 2015) or AdamW (Loshchilov and Hutter, ICLR 2019).

    Args:
        name: a key of `OPTIMIZERS`.
        parameters: of a model, or groups of them.
        lr: learning rate.
        fused: updates all weights in one pass over memory, which takes a third of the time on a
            CPU. A gradient scaler cannot clip the gradients of such an optimiser.

    Returns:
        The optimiser, with torch's defaults for all else.

    Raises:
        ValueError: for a name that is not in `OPTIMIZERS`.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {name!r} is unknown; there are {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](parameters, lr=lr, fused=fused)


class Schedule:
    """The rates of an optimiser, stepped by batch or by epoch, whichever the scheduler needs.

    The state holds all but the rates of the moment, which are in that of the optimiser: save and
    load both.

    Args:
        scheduler: torch's own.
        steps: batches after which the rate stays as it is.
        cycle_epochs: epochs of a cycle, 1 where there are none.
    """

    def __init__(self, scheduler: LRScheduler, steps: float = math.inf, cycle_epochs: int = 1):
        self.scheduler, self.steps, self.cycle_epochs = scheduler, steps, cycle_epochs
        self.by_epoch = isinstance(scheduler, ReduceLROnPlateau)
        self.scale, self.epochs = 1.0, 0

    def step_batch(self) -> None:
        """To be called after each batch, skipped ones too."""
        if not self.by_epoch and self.scheduler.last_epoch < self.steps - 1:
            self._step()

    def step_epoch(self, monitored: float) -> None:
        """To be called after each epoch, with the number that should get lower."""
        self.epochs += 1
        if self.by_epoch:
            self._step(monitored)

    def halve(self) -> None:
        """Halves the current and all later rates."""
        self.scale /= 2
        self._multiply(0.5)

    def patience(self, stop_patience: int) -> int:
        """Epochs without improvement before training stops, computed anew after each.

        Whole cycles, and more within a cycle than can have passed: a rate that is about to fall
        often brings the improvement.
        """
        cycles = math.ceil(stop_patience / self.cycle_epochs)
        return cycles * self.cycle_epochs + self.epochs % self.cycle_epochs

    def state_dict(self) -> dict[str, Any]:
        return {
            "scheduler": self.scheduler.state_dict(),
            "scale": self.scale,
            "epochs": self.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # A copy, as CyclicLR takes keys out of what it loads.
        self.scheduler.load_state_dict(copy.deepcopy(state["scheduler"]))
        self.scale, self.epochs = state["scale"], state["epochs"]

    def _step(self, monitored: float | None = None) -> None:
        """Steps the scheduler, which sees unscaled rates.

        Some work from the rate they find, others from the first one. Powers of 2 are exact.
        """
        self._multiply(1 / self.scale)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            assert monitored is not None, "a plateau is found in a number an epoch"
            self.scheduler.step(monitored)
        else:
            self.scheduler.step()
        self._multiply(self.scale)

    def _multiply(self, factor: float) -> None:
        for group in self.scheduler.optimizer.param_groups:
            group["lr"] *= factor


def build(
    name: str,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    lr: float,
    factor: float,
    patience: int,
    warmup_steps: int,
    cycle_epochs: int,
) -> Schedule:
    """The schedule of that name.

    - plateau: `lr`, multiplied by `factor` after more than `patience` epochs without improvement.
    - cyclic: from lr/10 up to `lr` and back in `cycle_epochs`, then half as high above lr/10, and
      so on (Smith, WACV 2017, triangular2).
    - cosine: from lr/100 up to `lr` in `warmup_steps`, then down to 0 along half a cosine
      (Loshchilov and Hutter, ICLR 2017).
    - one_cycle: from lr/25 up to `lr` in 30 % of the steps, then down to lr/250000 (Smith and
      Topin, 2018).

    None of them touches the momentum: torch would cycle Adam's first beta too, and schedules would
    differ in two things.

    Args:
        name: one of `SCHEDULES`.
        optimizer: all of whose groups follow the schedule.
        epochs: of the whole training.
        steps_per_epoch: batches.
        lr: the highest rate.
        factor: of plateau, between 0 and 1.
        patience: of plateau, in epochs.
        warmup_steps: of cosine, in batches.
        cycle_epochs: of cyclic.

    Returns:
        The schedule at its first step, with the rates of the optimiser set to it.

    Raises:
        ValueError: for a name that is not in `SCHEDULES`, or a warm-up that leaves no step.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr

    steps = epochs * steps_per_epoch
    match name:
        case "plateau":
            return Schedule(_plateau(optimizer, factor, patience))
        case "cyclic":
            cyclic = _cyclic(optimizer, lr, cycle_epochs * steps_per_epoch)
            return Schedule(cyclic, cycle_epochs=cycle_epochs)
        case "cosine":
            return Schedule(_warm_cosine(optimizer, steps, warmup_steps), steps)
        case "one_cycle":
            one_cycle = OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=False)
            return Schedule(one_cycle, steps)
    raise ValueError(f"schedule {name!r} is unknown; there are {', '.join(SCHEDULES)}")


def _plateau(optimizer: torch.optim.Optimizer, factor: float, patience: int) -> ReduceLROnPlateau:
    # No threshold: torch's is relative, and of negated accuracies would take a little worse for
    # better.
    return ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=0.0)


def _cyclic(optimizer: torch.optim.Optimizer, lr: float, cycle: int) -> LRScheduler:
    """Up to `lr` and back in `cycle` steps; of an odd number, one more goes up."""
    down = cycle // 2
    return CyclicLR(
        optimizer,
        base_lr=CYCLE_BASE * lr,
        max_lr=lr,
        step_size_up=cycle - down,
        step_size_down=down,
        mode="triangular2",
        cycle_momentum=False,
    )


def _warm_cosine(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LRScheduler:
    """Up to the rate of the optimiser in `warmup` steps, then down to 0 in the rest of `steps`."""
    if warmup >= steps:
        raise ValueError(
            f"a warm-up of {warmup} steps leaves nothing of {steps}; "
            "lower train.warmup_steps or raise train.epochs"
        )
    # PyTorch 2.11 takes a sequence that begins with no steps for a first step of warming up.
    if not warmup:
        return CosineAnnealingLR(optimizer, steps)

    rising = LinearLR(optimizer, WARMUP_START, total_iters=warmup)
    falling = CosineAnnealingLR(optimizer, steps - warmup)
    return SequentialLR(optimizer, [rising, falling], milestones=[warmup])
