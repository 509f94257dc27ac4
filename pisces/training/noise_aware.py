"""How a `cldnn` learns what is noise: auxiliary losses beside those of the tasks, phase by phase.

- Phase a: the denoiser is trained by itself.
- b1: beside the classifier, whose gradient does not reach it.
- b2: a part of the classifier's gradient reaches it.
- c: all of that gradient does, so that both are trained as one.

What a phase is made of is `settings.Phase`. Epochs are counted from 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from pisces import models
from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.data.datasets import Batch
from pisces.models import denoiser, modelfile
from pisces.models.cldnn import Cldnn, Outputs
from pisces.training import noise_losses
from pisces.training.augmentation import Mix
from pisces.training.frames import TrainingData
from pisces.training.noise_losses import Pair
from pisces.training.objective import HeadOutputs, JointObjective, LossValues
from pisces.training.settings import NoiseAwareSettings, Phase, TrainingSettings

LOSSES = ("denoising", "identity", "noise", "features", "distillation")
PARTS = ("denoiser.", "noise.")
"""What of a `Cldnn` learns while the tasks have no weight, as its parameters are named."""
CALIBRATION_BATCHES = 256

# Phases


def phase_number(settings: NoiseAwareSettings, epoch: int) -> int:
    """Place in `settings.phases` of the one that an epoch is in."""
    for number, phase in enumerate(settings.phases[:-1]):
        assert phase.epochs is not None
        if epoch <= phase.epochs:
            return number
        epoch -= phase.epochs
    return len(settings.phases) - 1


def phase_of(settings: NoiseAwareSettings, epoch: int) -> Phase:
    """The phase that an epoch is in."""
    return settings.phases[phase_number(settings, epoch)]


def epochs_before_last_phase(settings: NoiseAwareSettings) -> int:
    """Epochs before denoiser and classifier are trained as one, in phase c."""
    return sum(phase.epochs or 0 for phase in settings.phases[:-1])


def features_weight(settings: NoiseAwareSettings, phase: Phase, epoch: int) -> float:
    """Weight of the loss `features`: 0 in phase a, then growing in a straight line.

    Args:
        settings: the length of phase a and that of the growth.
        phase: the one that the epoch is in, which has the final weight.
        epoch: counted from 1.

    Returns:
        The weight, 0 or more.
    """
    since = epoch - (settings.a.epochs or 0)
    part = max(0, since) / max(1, settings.features_ramp_epochs)
    return phase.features * min(1.0, part)


# The objective


class NoiseAwareObjective(JointObjective):
    """The joint objective of a `Cldnn`, with what its noise estimate and its denoiser learn from.

    Args:
        settings: phases, weights of the losses, and the folders of models that judge or teach.
        model: the `Cldnn` that is to be trained.
        data, config, device: as for `JointObjective`.

    Raises:
        FileNotFoundError: when the folder of a reference or teacher does not exist.
        ValueError: when the model in it does not fit.
    """

    auxiliary: Sequence[str] = LOSSES
    forward_methods: Sequence[str] = ("learn",)

    def __init__(
        self,
        settings: NoiseAwareSettings,
        model: Cldnn,
        data: TrainingData,
        config: TrainingSettings,
        device: torch.device,
    ):
        super().__init__(data, config, device)
        self.settings, self.floor_db = settings, float(min(data.store.true_snrs_db))
        self.has_denoiser, self.is_dual = model.has_denoiser, model.settings.paths == "dual"
        classes = data.store.modulations
        self.reference = _frozen_model(settings.reference, "reference", model, classes, device)
        self.teacher = _frozen_model(settings.teacher, "teacher", model, classes, device)

        self.observed = ("eta", "label_db") if model.has_noise_estimate else ()
        self.calibration_batches = CALIBRATION_BATCHES if model.has_noise_estimate else 0
        # What a denoiser learns in the phases before the last shows in no metric of the classifier.
        self.unsettled_epochs = epochs_before_last_phase(settings) if self.has_denoiser else 0

    def weights(self, epoch: int) -> dict[str, float]:
        """Of the tasks (`classification`) and of each loss."""
        if not self.has_denoiser:
            last = self.settings.c
            kept = ("classification", "noise", "distillation")
            return dict.fromkeys(LOSSES, 0.0) | {name: getattr(last, name) for name in kept}
        phase = phase_of(self.settings, epoch)
        weights = {name: getattr(phase, name) for name in ("classification", *LOSSES)}
        return weights | {"features": features_weight(self.settings, phase, epoch)}

    def total(self, values: LossValues, epoch: int) -> torch.Tensor:
        weights = self.weights(epoch)
        auxiliary = sum(weights[name] * loss for name, loss in values.auxiliary.items())
        return weights["classification"] * self.weighting(values.tasks) + auxiliary

    def learns_tasks(self, epoch: int) -> bool:
        return self.weights(epoch)["classification"] > 0

    def frozen(self, model: nn.Module, epoch: int) -> list[nn.Parameter]:
        """All but denoiser and noise estimate, while the tasks have no weight."""
        if self.learns_tasks(epoch):
            return []
        classifier = [p for name, p in model.named_parameters() if not name.startswith(PARTS)]
        return [*classifier, *self.weighting.parameters()]

    def columns(self, epoch: int) -> dict[str, float]:
        return {"phase": phase_number(self.settings, epoch)} if self.has_denoiser else {}

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> None:
        """Fits the analytic part of the noise estimate to the true SNRs of some training frames."""
        energies, etas = [], []
        for batch in batches:
            energies.append(denoiser.difference_energy(self.input.tensors(batch.stored)))
            snr_db = true_snr_db(self.snrs_db[batch.snr], self.snr_label)
            etas.append(denoiser.eta(snr_db))
        estimate = _cldnn(model).noise
        assert estimate is not None, "only a model with a noise estimate is calibrated"
        estimate.calibrate(torch.cat(energies), torch.cat(etas))

    def observe(
        self, model: nn.Module, inputs: torch.Tensor, label_db: torch.Tensor
    ) -> torch.Tensor:
        return torch.stack([_cldnn(model).estimate(inputs).float(), label_db])

    def report(self, observed: np.ndarray) -> dict[str, float]:
        eta, label_db = observed
        return eta_report(eta, label_db, self.snr_label)

    def _forward(
        self,
        model: nn.Module,
        inputs: torch.Tensor,
        mix: Mix | None,
        batch: Batch,
        epoch: int,
        rng: np.random.Generator,
    ) -> tuple[HeadOutputs, dict[str, torch.Tensor]]:
        """Predictions about the frames, mixed by `mix`, and the losses of the frames as given."""
        label_db = self.snrs_db[batch.snr]
        classified = inputs if mix is None else mix(inputs)
        if mix is not None and self.augmentation.mixup_losses == "all_losses":
            inputs, label_db = classified, mix(label_db)
        snr_db = true_snr_db(label_db, self.snr_label)

        weights = self.weights(epoch)
        needs_pair = weights["denoising"] or weights["features"]
        pair = self._pair(inputs, snr_db, rng) if needs_pair else None
        outputs = _cldnn(model).learn(
            classified,
            inputs,
            None if pair is None else pair.degraded,
            snr_db=snr_db,
            degraded_snr_db=None if pair is None else pair.degraded_snr_db,
            gradient=phase_of(self.settings, epoch).gradient,
            raw_gain=self._raw_gain(label_db, rng),
        )

        found = self._denoiser_losses(outputs, inputs, snr_db, pair, weights)
        # A teacher of unmixed frames has nothing to say about a mixed batch.
        if weights["distillation"] and mix is None:
            target = batch.modulation
            found["distillation"] = self._distillation(outputs.modulation, inputs, label_db, target)
        return (outputs.modulation, outputs.snr), found

    def _denoiser_losses(
        self,
        outputs: Outputs,
        frames: torch.Tensor,
        snr_db: torch.Tensor,
        pair: Pair | None,
        weights: Mapping[str, float],
    ) -> dict[str, torch.Tensor]:
        """Losses of the denoiser and the noise estimate, as far as the model has them.

        They come in the order of `LOSSES`, in which `total` adds them: another rounds otherwise.
        """
        found: dict[str, torch.Tensor] = {}
        denoised_degraded = outputs.denoised_degraded
        if pair is not None:
            assert denoised_degraded is not None, "only a model with a denoiser is given pairs"
            found["denoising"] = noise_losses.denoising_loss(denoised_degraded, pair)
        if outputs.denoised is not None:
            found["identity"] = noise_losses.identity_loss(outputs.denoised, frames, snr_db)
        if outputs.eta is not None:
            found["noise"] = noise_losses.noise_loss(outputs.eta, snr_db)
        if weights["features"]:
            reference = self.reference
            assert reference is not None, "a weight of features needs a reference"
            assert pair is not None, "a weight of features asks for pairs"
            assert denoised_degraded is not None, "only a model with a denoiser is given pairs"
            found["features"] = noise_losses.features_loss(reference, denoised_degraded, pair)
        return found

    def _pair(self, frames: torch.Tensor, snr_db: torch.Tensor, rng: np.random.Generator) -> Pair:
        given_db = snr_db.cpu().numpy()
        target_db = noise_losses.target_snr_db(given_db, self.settings, self.floor_db, rng)
        seeds = torch.from_numpy(rng.integers(2**63, size=len(frames))).to(frames.device)
        target = torch.from_numpy(target_db.astype(np.float32)).to(frames.device)
        return noise_losses.degrade(frames, snr_db, target, seeds)

    def _raw_gain(self, label_db: torch.Tensor, rng: np.random.Generator) -> torch.Tensor | None:
        settings = self.settings.raw_gain
        if not settings.probability or not self.is_dual:
            return None
        return noise_losses.raw_gain(settings, label_db, rng)

    def _distillation(
        self,
        logits: torch.Tensor,
        frames: torch.Tensor,
        label_db: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor:
        assert self.teacher is not None, "a weight of distillation needs a teacher"
        with torch.no_grad():
            snr_db = true_snr_db(label_db, self.snr_label)
            teacher, _ = models.predict(self.teacher, frames, snr_db)
        low, high = self.settings.teach_band_db
        in_band = (label_db >= low) & (label_db <= high)
        temperature = self.settings.temperature
        return noise_losses.distillation_loss(logits, teacher, target, in_band, temperature)


def _cldnn(model: nn.Module) -> Cldnn:
    """The model, typed as what it is: itself, or wrapped by Fabric, which passes calls on."""
    return cast(Cldnn, model)


def _frozen_model(
    folder: str | None,
    key: str,
    model: Cldnn,
    modulations: Sequence[str],
    device: torch.device,
) -> Cldnn | None:
    """The trained `Cldnn` of the folder that `noise_aware.<key>` names, None where that is none.

    It takes frames as long as those of `model`; a teacher also knows the same modulations.
    """
    if folder in (None, "none"):
        return None
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"noise_aware.{key} = {folder} is no folder; "
            "name that of a trained cldnn, by an absolute path"
        )
    trained = modelfile.load_named(f"noise_aware.{key}", Path(folder))
    found = trained.model
    if not isinstance(found, Cldnn) or found.samples != model.samples:
        raise ValueError(
            f"noise_aware.{key} = {folder} holds {trained.architecture.model}, "
            f"not a cldnn of frames of {model.samples} samples; name one"
        )
    if key == "teacher" and trained.modulations != tuple(modulations):
        raise ValueError(
            f"noise_aware.teacher = {folder} knows {trained.modulations}, "
            f"not {tuple(modulations)}; name one trained on these"
        )
    return found.requires_grad_(False).to(device).eval()


# What is reported


def eta_report(
    eta: np.ndarray, label_db: np.ndarray, snr_label: SnrLabel = "power"
) -> dict[str, float]:
    """How well estimates of eta tell the SNR.

    Args:
        eta: estimates (n,).
        label_db: SNR labels (n,).
        snr_label: what the labels mean.

    Returns:
        `eta_pearson` and `eta_spearman`: correlations with the eta of the labels, NaN where one of
        the two is constant. `eta_monotonicity`: the share of neighbouring SNRs whose mean estimates
        fall in the right order. `eta_mean_<dB>dB` and `eta_std_<dB>dB`: of each label.
    """
    snr_db = true_snr_db(label_db.astype(np.float64), snr_label)
    truth = denoiser.eta(torch.from_numpy(snr_db)).numpy()
    labels = np.unique(label_db)
    groups = [eta[label_db == label] for label in labels]
    means = np.array([group.mean() for group in groups])
    spreads = np.array([group.std() for group in groups])

    falls = np.diff(means) < 0
    found = {
        "eta_pearson": _correlation(eta, truth),
        "eta_spearman": _correlation(rankdata(eta), rankdata(truth)),
        "eta_monotonicity": float(np.mean(falls)) if len(falls) else float("nan"),
    }
    for label, mean, spread in zip(labels, means, spreads, strict=True):
        found[f"eta_mean_{label:g}dB"] = float(mean)
        found[f"eta_std_{label:g}dB"] = float(spread)
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; NaN where one of the two is constant."""
    if not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
