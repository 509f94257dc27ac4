"""What an epoch was like: its row of the history, and what is made of all rows.

A row maps the names of columns to numbers: losses, accuracies, weights and incidents of one epoch.
Columns of single SNRs, `eta_mean_<dB>dB` and `eta_std_<dB>dB`, have a table of their own.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from pisces.core.tasks import TASKS
from pisces.data.datasets import Batch
from pisces.training.objective import LossValues

Epoch = dict[str, float]

MEAN, STD = "eta_mean_", "eta_std_"


class Tally:
    """Sums of losses and of right predictions over batches, kept on the device until asked for.

    They are one vector, so that processes exchange them at once: frames right in modulation, in SNR
    and in both; frames; the two task losses; each auxiliary loss; frames that had each of these.

    Args:
        auxiliary: names of the losses beside those of the tasks.
    """

    def __init__(self, auxiliary: Sequence[str] = ()):
        self.auxiliary = auxiliary
        self.sums: torch.Tensor | float = 0.0

    def add(self, batch: Batch, losses: LossValues) -> None:
        """Counts a batch, whose losses are means over its frames."""
        modulation_scores, snr_scores = losses.predictions
        modulation = modulation_scores.argmax(1) == batch.modulation
        snr = snr_scores.argmax(1) == batch.snr
        frames = len(batch.stored)
        right = [modulation.sum(), snr.sum(), (modulation & snr).sum()]
        counts = [*right, _on(snr.device, frames)]

        zero, found = _on(snr.device, 0), losses.auxiliary
        auxiliary = [found.get(name, zero).detach() * frames for name in self.auxiliary]
        with_auxiliary = [_on(snr.device, frames * (name in found)) for name in self.auxiliary]

        task_losses = losses.tasks.detach() * frames
        values = [*counts, *task_losses, *auxiliary, *with_auxiliary]
        self.sums = self.sums + torch.stack([value.float() for value in values])

    def means(self, part: str, fabric: Fabric) -> Epoch:
        """Means over the frames of all processes.

        Args:
            part: `train` or `validation`, which the names of the columns begin with.
            fabric: connects the processes.

        Returns:
            Losses and accuracies, NaN where there was no frame. An auxiliary loss is the mean over
            the batches that had it; it has no column where none had.
        """
        extra = len(self.auxiliary)
        sums = torch.as_tensor(self.sums, device=fabric.device).expand(6 + 2 * extra).clone()
        reduced = fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(reduced, torch.Tensor), "a tensor is reduced to a tensor"
        totals = reduced.cpu().double().tolist()

        frames = totals[3]
        modulation, snr, joint = (_ratio(count, frames) for count in totals[:3])
        modulation_loss, snr_loss = (_ratio(total, frames) for total in totals[4:6])
        row = {
            f"{part}_loss": modulation_loss + snr_loss,
            f"{part}_modulation_loss": modulation_loss,
            f"{part}_snr_loss": snr_loss,
            f"{part}_modulation_accuracy": modulation,
            f"{part}_snr_accuracy": snr,
            f"{part}_joint_accuracy": joint,
        }

        auxiliary, with_auxiliary = totals[6 : 6 + extra], totals[6 + extra :]
        for name, total, count in zip(self.auxiliary, auxiliary, with_auxiliary, strict=True):
            if count:
                row[f"{part}_{name}_loss"] = total / count
        return row


def _on(device: torch.device, value: float) -> torch.Tensor:
    """A number on the device, which a GPU fills in by itself: a copy would wait for it."""
    return torch.full((), value, dtype=torch.float32, device=device)


def _ratio(total: float, frames: float) -> float:
    return total / frames if frames else math.nan


def monitored(row: Epoch, stop_metric: str) -> float:
    """The number of a row that should get lower: a loss, or an accuracy with its sign changed."""
    return row[stop_metric] if stop_metric.endswith("loss") else -row[stop_metric]


def best_epoch(history: list[Epoch], stop_metric: str) -> int:
    """The first epoch, counted from 1, with the least loss or the highest accuracy."""
    values = [monitored(row, stop_metric) for row in history]
    return 1 + int(np.argmin(values))


def headline(history: list[Epoch], stop_metric: str) -> dict[str, int]:
    """The best epoch, counted from 1, and how often something went wrong in all of them."""
    return {
        "best_epoch": best_epoch(history, stop_metric),
        "skipped_steps": int(sum(row["skipped_steps"] for row in history)),
        "rollbacks": int(sum(row["rollbacks"] for row in history)),
    }


def record(history: list[Epoch], stop_metric: str) -> dict[str, float]:
    """Number of epochs, frames a micro-batch, and the validation columns of the best epoch."""
    best = history[best_epoch(history, stop_metric) - 1]
    validation = {name: value for name, value in best.items() if name.startswith("validation")}
    counts = {"epochs": len(history), "micro_batch": int(history[-1]["micro_batch"])}
    return counts | validation


def noise_table(history: list[Epoch]) -> pd.DataFrame:
    """Estimated noise fractions of the validation frames; empty for a model without an estimate.

    One row an (epoch, SNR) with the columns `epoch`, `snr_db`, `eta_mean` and `eta_std`.
    """
    rows = []
    for row in history:
        for name in row:
            if not name.startswith(MEAN):
                continue
            snr_db = name.removeprefix(MEAN)
            rows.append(
                {
                    "epoch": row["epoch"],
                    "snr_db": int(snr_db.removesuffix("dB")),
                    "eta_mean": row[name],
                    "eta_std": row[STD + snr_db],
                }
            )
    return pd.DataFrame(rows, columns=["epoch", "snr_db", "eta_mean", "eta_std"])


def training_table(history: list[Epoch]) -> pd.DataFrame:
    """One row an epoch, of all columns that `noise_table` does not show."""
    rows = []
    for row in history:
        names = [name for name in row if not name.startswith((MEAN, STD))]
        rows.append({name: row[name] for name in names})
    return pd.DataFrame(rows)


def describe(row: Epoch, epochs: int) -> str:
    """One line about one epoch of so many, for the console."""
    percent = {task: 100 * row[f"validation_{task}_accuracy"] for task in TASKS}
    accuracies = ", ".join(f"{task} {value:.1f} %" for task, value in percent.items())
    losses = f"loss {row['train_loss']:.3f}, validation {row['validation_loss']:.3f}"
    return f"epoch {int(row['epoch'])}/{epochs}: {losses}; {accuracies}"
