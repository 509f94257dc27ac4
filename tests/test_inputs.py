"""A third kind of input, of which the library knows one line, goes the whole way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from torch import nn

from pisces.attribution import methods
from pisces.attribution.head import Head
from pisces.core.tasks import HEADS
from pisces.evaluation.inference import predict_frames
from pisces.inputs import INPUTS, kind_of
from pisces.inputs.base import FrameStore, Input, Probe, Prober
from pisces.inputs.settings import DrawSettings
from pisces.inputs.waveform import IqStore, Waveform, WaveformProber
from pisces.models import Architecture, modelfile
from pisces.models.modelfile import TrainedModel, check_fits
from pisces.pis.masks import Mask
from pisces.pis.score import measure
from pisces.pis.store import PerturbationPlan
from pisces.training.frames import TrainingData
from tests.conftest import MODULATIONS, PERTURB, RENDER, SAMPLES, SNRS_DB, draw
from tests.training.tiny import CPU, UNCHANGED, fit

ARCHITECTURE = Architecture("mcnet", "plain", "standard")
EPOCHS = 3


def spectrum(frames: torch.Tensor) -> torch.Tensor:
    """Logarithms of the spectrum of frames (n, 2, samples): magnitude twice, (n, 2, samples)."""
    iq = torch.complex(frames[:, 0], frames[:, 1])
    magnitude = torch.fft.fft(iq, norm="ortho").abs().log1p()
    return torch.stack([magnitude, magnitude], 1)


class SpectrumProbe(Probe):
    """A probe of the waveform, whose frames are seen as spectra."""

    def __init__(self, waveform: Probe):
        self.waveform = waveform
        self.counts = waveform.counts

    def without(
        self, frames: Sequence[int], pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        return spectrum(self.waveform.without(frames, pixels, offsets))

    @property
    def images(self) -> torch.Tensor:
        return self.waveform.images

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        return self.waveform.context


class SpectrumProber(Prober):
    def __init__(self, waveform: WaveformProber):
        self.waveform = waveform
        self.store: FrameStore = waveform.store
        self.note = waveform.note

    def probe(self, index: np.ndarray, device: torch.device) -> SpectrumProbe:
        return SpectrumProbe(self.waveform.probe(index, device))


@dataclass(frozen=True)
class Spectrum(Input):
    """Magnitudes of the spectrum of the frame; stored is the frame itself."""

    name: ClassVar[str] = "spectrum"
    spatial: ClassVar[bool] = False

    waveform: Waveform

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:
        return cls(Waveform.for_data(data, draw))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        return cls(Waveform(card["bins"], RENDER.sps))

    def card(self) -> dict[str, Any]:
        return {"kind": self.name, "bins": self.waveform.samples}

    @property
    def shape(self) -> tuple[int, int]:
        return self.waveform.shape

    @property
    def frame_samples(self) -> int:
        return self.waveform.samples

    @property
    def symbol_samples(self) -> int | None:
        return self.waveform.sps

    @property
    def requirements(self) -> dict[str, Any]:
        return self.waveform.requirements

    def open(self, data: Path) -> IqStore:
        return self.waveform.open(data)

    def prober(self, data: Path, fill: str, seed: int) -> SpectrumProber:
        return SpectrumProber(self.waveform.prober(data, fill, seed))

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return self.waveform.encode(frames)

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        return spectrum(stored)

    def from_images(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        return spectrum(self.waveform.from_images(images, *context))


@pytest.fixture(scope="module")
def _registered():
    """The one line that the library needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(INPUTS, "spectrum", f"{__name__}:Spectrum")
        yield


@pytest.fixture(scope="module")
def seen(_registered, iq_shards) -> Input:
    return kind_of("spectrum").for_data(iq_shards.parent, draw("histogram"))


def train(seen: Input, store: FrameStore, index: np.ndarray, folder: Path) -> nn.Module:
    """The model after some epochs of the library's training."""
    parts = {"train": index[::3], "validation": index[1::3]}
    data = TrainingData(store, None, parts, seen, UNCHANGED)
    model, rows = fit(
        data,
        folder / "checkpoint.pt",
        input="spectrum",
        model=ARCHITECTURE.model,
        branches=ARCHITECTURE.branches,
        snr_head=ARCHITECTURE.snr_head,
        epochs=EPOCHS,
        batch_size=30,
        lr=3e-3,
    )
    assert len(rows) == EPOCHS
    return model


@pytest.fixture(scope="module")
def trained(seen, iq_shards, index, tmp_path_factory) -> TrainedModel:
    folder = tmp_path_factory.mktemp("spectrum")
    model = train(seen, seen.open(iq_shards.parent), index, folder)
    return TrainedModel(model, ARCHITECTURE, seen, MODULATIONS, SNRS_DB)


def test_its_name_and_the_data_say_what_it_is(seen):
    assert seen == Spectrum(Waveform(SAMPLES, RENDER.sps))
    assert kind_of(seen.card()["kind"]).from_card(seen.card()) == seen


def test_it_is_learnt_from(trained, iq_data, index):
    """Far more SNRs of frames held out are right than by chance, of which 5 sigma are granted."""
    held_out = index[2::3]
    found = predict_frames(trained, iq_data, held_out)
    right = np.mean(found["snr_pred_db"] == found["snr_true_db"])

    chance = 1 / len(SNRS_DB)
    assert right > chance + 5 * np.sqrt(chance * (1 - chance) / len(held_out))


def test_the_model_file_brings_it_back(trained, iq_shards, index, tmp_path):
    store = trained.input.open(iq_shards.parent)
    modelfile.save(tmp_path, trained)
    loaded = modelfile.load(tmp_path)
    check_fits(loaded, store)

    assert loaded.input == trained.input
    before, after = (predict_frames(one, store, index[::10]) for one in (trained, loaded))
    for name in ("modulation_prob", "snr_prob"):
        assert before[name].std(0).min() > 0
        np.testing.assert_array_equal(before[name], after[name])


def test_data_of_another_length_are_refused(trained, iq_data):
    other = trained._replace(input=Spectrum(Waveform(SAMPLES // 2, RENDER.sps)))
    with pytest.raises(ValueError, match=rf"{SAMPLES // 2} .*{SAMPLES}; train again with dvc"):
        check_fits(other, iq_data)


def test_predictions_are_those_of_its_own_tensors(trained, iq_data, index):
    """A phase ramp shifts a spectrum, and a turn of the frame leaves its magnitudes alone."""
    stored = iq_data.prepare(iq_data.gather(index[::20]), CPU)
    inputs = trained.input.tensors(stored)
    turned = torch.stack([-stored[:, 1], stored[:, 0]], 1)
    torch.testing.assert_close(trained.input.tensors(turned), inputs)

    with torch.inference_mode():
        logits, _ = trained.model.cpu()(inputs)
    found = predict_frames(trained, iq_data, index[::20])["modulation_prob"]
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), rtol=1e-5, atol=1e-6)


def test_pis_masks_the_samples_behind_its_pixels(trained, iq_shards, data, index):
    masks = tuple(Mask("raw", "exact", which, 60.0) for which in ("top", "bottom"))
    plan = PerturbationPlan(index[::6], masks, PERTURB, seed=1, render=RENDER)
    prober = trained.input.prober(iq_shards.parent, "zero", 1)
    outcome = measure(trained.model, prober, data, plan, CPU)

    found = predict_frames(trained, prober.store, plan.frame)
    right = found["modulation_pred"] == found["modulation_true"]
    np.testing.assert_array_equal(outcome.baseline["modulation"], right)
    assert (outcome.fraction["mask"] > 0).all()

    pixels = np.flatnonzero(prober.probe(plan.frame[:1], CPU).counts[0])
    gone = prober.probe(plan.frame[:1], CPU).without([0], pixels, np.array([0, len(pixels)]))
    assert gone.shape == (1, *trained.input.shape)
    assert gone.abs().max() == 0


@pytest.mark.parametrize("task", HEADS)
def test_attributions_reach_its_pixels(trained, iq_shards, index, task):
    probe = trained.input.prober(iq_shards.parent, "zero", 1).probe(index[::60], CPU)
    inputs = trained.input.from_images(probe.images, *probe.context)
    nothing = np.array([], dtype=np.int64), np.zeros(len(inputs) + 1, dtype=np.int64)
    torch.testing.assert_close(inputs, probe.without(range(len(inputs)), *nothing))

    head = Head(trained.model.cpu(), task, trained.input.from_images)
    targets = torch.zeros(len(inputs), dtype=torch.long)
    method = methods.IntegratedGradients(steps=4)
    maps = methods.attribute(method, head, probe.images, targets, probe.context)
    assert maps.shape == probe.images.shape
    assert (maps != 0).flatten(1).any(1).all()
    assert (maps[probe.images == 0] == 0).all()


def test_methods_that_need_a_map_are_left_out(trained):
    assert methods.applicable(("grad_cam", "occlusion"), trained.input.spatial) == ("occlusion",)
