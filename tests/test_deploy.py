"""Graphs of models: the receiver in real arithmetic, and what is written, read back and run."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from pisces import models
from pisces.deploy import onnx_file, program, verify
from pisces.deploy.answers import OUTPUTS, of_model
from pisces.deploy.graph import Graph, without_echo
from pisces.deploy.pairs import Dft, Pair
from pisces.deploy.views import view_of
from pisces.inputs import binning, views
from pisces.inputs.drawing import Drawing
from pisces.inputs.settings import DrawSettings
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.calibration import Array, Calibration, FeatureNovelty, Novelty
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from pisces.sources.settings import MultipathSettings
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER
from tests.physics import physics

MODULATIONS, SNRS_DB = ("BPSK", "QPSK", "16QAM", "OQPSK", "8ASK"), (0, 10, 20, 30)
DRAW = DrawSettings("log_histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))


def frames_of(samples: int, of_each: int = 2, **changes) -> torch.Tensor:
    """float32 (n, samples, 2) of a few modulations and SNRs."""
    made = [
        synthesize_cell(name, snr_db, range(of_each), physics(samples=samples, **changes), seed=3)
        for name in MODULATIONS
        for snr_db in SNRS_DB
    ]
    return torch.from_numpy(np.concatenate(made).view(np.float32).reshape(-1, samples, 2))


def unit(frames: torch.Tensor) -> torch.Tensor:
    """Complex frames over their RMS."""
    return torch.view_as_complex(frames / binning.rms(frames)[:, None, None])


def constellations(name: str = "pixel_set", **changes) -> TrainedModel:
    """An untrained model of constellations."""
    drawing = Drawing(replace(RENDER, **changes), DRAW)
    return built(name, drawing, drawing.shape)


def waveforms(name: str, samples: int = 128, **settings) -> TrainedModel:
    """An untrained model of raw frames."""
    return built(name, Waveform(samples), (2, samples), Settings(**settings))


def built(name, seen, shape, cldnn=None) -> TrainedModel:
    architecture = Architecture(name, "plain", "standard", cldnn if name == "cldnn" else None)
    torch.manual_seed(1)
    model = models.build(architecture, shape, len(MODULATIONS), SNRS_DB)
    # Batch statistics of an untrained net are those of no data; these keep its outputs apart.
    for _ in range(2):
        models.predict(model, torch.randn(8, *shape).abs(), torch.zeros(8))
    return TrainedModel(model.eval(), architecture, seen, MODULATIONS, SNRS_DB)


def session_of(model: onnx.ModelProto, folder) -> object:
    onnx.save(model, folder / "graph.onnx")
    return onnx_file.session_of(folder / "graph.onnx")


@pytest.mark.parametrize("length", [1, 7, 16, 120, 128])
@pytest.mark.parametrize("inverse", [False, True])
def test_the_transform_is_that_of_torch(length, inverse):
    numbers = torch.randn(3, length, dtype=torch.complex64)
    found = Dft(length, inverse=inverse)(Pair.of(numbers))
    expected = (torch.fft.ifft if inverse else torch.fft.fft)(numbers)
    # Rounding grows as the root of the number of terms.
    tolerance = 4e-7 * length**0.5 * float(expected.abs().max())
    assert (torch.complex(found.re, found.im) - expected).abs().max() < tolerance


@pytest.mark.parametrize("name", ["raw", "noise", "differential"])
def test_a_view_without_a_receiver_has_the_points_of_the_library(name):
    iq = unit(frames_of(512))
    found = view_of(name, 512, RENDER)(Pair.of(iq)).stacked()
    expected = torch.view_as_real(views.points_of(name, iq, RENDER))
    # Of the noise the level is in dB: 80 of them from single precision are good to a thousandth.
    tolerance = 1e-2 if name == "noise" else 1e-5
    assert (found - expected).abs().max() < tolerance


@pytest.mark.parametrize(
    ("samples", "changes"),
    [
        (1024, {}),
        (1024, {"pulse": "chosen"}),
        (256, {}),
        (256, {"equalizer": "blind"}),
        (128, {}),
        (128, {"pulse": "chosen"}),
    ],
)
def test_symbols_are_those_of_the_receiver(samples, changes):
    iq = unit(frames_of(samples, clock_offset_ppm=300.0))
    render = replace(RENDER, **changes)
    found = view_of("symbol", samples, render)(Pair.of(iq)).stacked()
    expected = torch.view_as_real(views.points_of("symbol", iq, render))

    # A frame in which two lines or timings are as strong as each other may take the other one.
    worst = (found - expected).abs().amax((1, 2))
    assert (worst < 1e-3).float().mean() >= 0.95


@pytest.fixture(scope="module")
def echoes() -> torch.Tensor:
    """Complex frames over their RMS with an echo a symbol late, 4 to 9 dB below the direct path."""
    multipath = MultipathSettings(k_factor_db=5, paths=1, delay_spread=6.0)
    return unit(frames_of(1024, of_each=3, multipath=multipath, pulse="rml2018"))


def test_an_echo_is_found_where_the_receiver_finds_it(echoes):
    blind = replace(RENDER, equalizer="blind", pulse="rml2018")
    expected = views.points_of("symbol", echoes, blind)
    as_received = views.points_of("symbol", echoes, replace(blind, equalizer="pulse"))
    has_echo = (expected != as_received).any(1)
    assert has_echo.sum() > 5

    found = view_of("symbol", 1024, blind)(Pair.of(echoes)).stacked()
    error = (found - torch.view_as_real(expected)).square().sum(2).mean(1).sqrt()
    # The steps of the search are a 128th of a symbol and of a turn at the end.
    assert (error[has_echo] < 0.03).float().mean() > 0.9
    assert (error[~has_echo] < 1e-3).float().mean() > 0.95


def test_pixels_are_those_of_the_library():
    trained = constellations(size=64)
    frames = frames_of(256) * 7  # of any power
    graph = Graph(trained, 256).eval()
    iq, usable = graph.normalised(frames)
    pixels = graph.front.pixels(iq)
    differing = pixels != trained.input.encode(frames)
    assert usable.all()
    assert differing.float().mean() < 1e-3

    counts = graph.front.count(pixels)
    assert torch.equal(counts, binning.count_points(pixels, trained.input.pixels))


def test_a_graph_says_what_its_model_says():
    trained = constellations(size=64)
    frames = frames_of(256).numpy()
    graph = Graph(trained, 256).eval()
    with torch.inference_mode():
        answers = [one.numpy() for one in graph(torch.from_numpy(frames))]
    found = dict(zip(OUTPUTS, answers, strict=True))
    agreement = verify.agreement(of_model(trained, frames), found)
    assert agreement.same == 1
    assert agreement.median_difference < 1e-5
    expected_db = found["snr_probability"] @ np.array(SNRS_DB)
    np.testing.assert_allclose(found["snr_db"], expected_db, rtol=1e-5)
    assert not found["novelty"].any()


def test_frames_that_are_none_get_no_prediction():
    graph = Graph(constellations(), 256).eval()
    frames = frames_of(256)[:4].clone()
    frames[0] = 0
    frames[1, 5] = torch.nan
    frames[2, 5] = torch.inf
    for one in graph(frames):
        assert one[:3].isnan().all()
        assert one[3:].isfinite().all()


def calibrated(trained: TrainedModel) -> TrainedModel:
    """The model with temperatures of 3 and a novelty whose numbers are random."""
    features, dims, rng = 256, 4, np.random.default_rng(1)
    known = FeatureNovelty(
        mean=Array.of(rng.normal(size=features)),
        projection=Array.of(rng.normal(size=(features, dims))),
        centroids=Array.of(rng.normal(size=(len(MODULATIONS), len(SNRS_DB), dims))),
        levels=Array.of(rng.uniform(1, 2, size=(2, len(SNRS_DB)))),
    )
    novelty = Novelty(known, signal=None, threshold=5.0, feature_threshold=4.0)
    return trained._replace(calibration=Calibration(100, 3.0, 3.0, 0.9, 1.0, novelty))


def test_a_graph_is_calibrated_as_its_card_says():
    frames = frames_of(256)
    trained = constellations()
    sharp, flat = Graph(trained, 256)(frames), Graph(calibrated(trained), 256)(frames)
    assert (flat[0].amax(1) < sharp[0].amax(1)).all()
    assert (flat[1].amax(1) < sharp[1].amax(1)).all()

    expected = of_model(calibrated(trained), frames.numpy())
    for name, found in zip(OUTPUTS, flat, strict=True):
        np.testing.assert_allclose(found.detach(), expected[name], rtol=1e-3, atol=1e-4)
    assert flat[3].std() > 0


def test_a_model_conditioned_on_the_snr_has_no_graph():
    trained = waveforms("cldnn", film=True, condition="known")
    with pytest.raises(ValueError, match=r"true SNR.*cldnn\.condition = blind"):
        Graph(trained, 128)


def test_frames_of_another_length_are_refused():
    with pytest.raises(ValueError, match="128 samples, not 256"):
        Graph(waveforms("mcnet"), 256)
    with pytest.raises(ValueError, match="not a whole number"):
        Graph(constellations(), 100)
    with pytest.raises(ValueError, match="shorter than the"):
        Graph(constellations(views=("noise",)), 64)


def test_a_receiver_can_go_without_its_echo_search():
    trained = constellations(equalizer="blind")
    assert without_echo(trained).input.card()["render"]["equalizer"] == "pulse"
    assert trained.input.card()["render"]["equalizer"] == "blind"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small model as an ONNX file."""
    trained = calibrated(constellations(views=("raw", "differential")))
    graph = Graph(trained, 256).eval()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx_file.write(path, trained, graph, revision="abc")
    return trained, graph, path


def test_a_file_runs_and_says_what_its_model_says(written):
    trained, _, path = written
    frames = frames_of(256, of_each=3).numpy()
    session = onnx_file.session_of(path)
    found = onnx_file.answers(session, frames)
    assert tuple(found) == OUTPUTS

    agreement = verify.agreement(of_model(trained, frames), found)
    assert agreement.same >= 0.98
    assert agreement.median_difference < 1e-5
    one = onnx_file.answers(session, frames[:1])
    np.testing.assert_allclose(one["snr_db"], found["snr_db"][:1], atol=1e-3)
    expected = of_model(trained, frames)["novelty"]
    assert np.median(np.abs(found["novelty"] - expected)) < 1e-3


def test_a_file_has_real_numbers_alone_and_one_opset(written):
    model = onnx.load(written[2])
    assert {entry.version for entry in model.opset_import} == {onnx_file.OPSET}
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"DFT", "STFT", "Loop", "If", "Scan"}


def test_a_file_says_what_it_is(written):
    about = onnx_file.session_of(written[2]).get_modelmeta().custom_metadata_map
    assert json.loads(about["modulations"]) == list(MODULATIONS)
    assert json.loads(about["snrs_db"]) == list(SNRS_DB)
    assert json.loads(about["output_names"]) == list(OUTPUTS)
    assert (about["frame_samples"], about["samples_per_symbol"]) == ("256", "8")
    assert (about["pisces_revision"], about["echo_search"]) == ("abc", "no")
    # What GNU Radio 4's block reads
    assert (about["input_size"], about["history_depth"]) == ("2", "256")
    assert about["normalise_mode"] == "None"
    assert json.loads(about["novelty_threshold"]) == 4.0


def test_a_file_for_gnu_radio_4_takes_i_and_q_in_turn(tmp_path, written):
    trained, graph, path = written
    other = tmp_path / "gr4.onnx"
    onnx_file.write(other, trained, graph, interleaved=True)
    frames = frames_of(256)[:2].numpy()
    expected = onnx_file.answers(onnx_file.session_of(path), frames)
    session = onnx_file.session_of(other)
    found = onnx_file.answers(session, frames.reshape(2, 1, 512))
    np.testing.assert_allclose(found["modulation_probability"], expected["modulation_probability"])
    about = session.get_modelmeta().custom_metadata_map
    assert (about["input_size"], about["history_depth"]) == ("512", "1")


def test_a_graph_that_says_something_else_is_not_written(tmp_path, written):
    _, graph, _ = written
    other = constellations(views=("raw", "differential"))
    for parameter in other.model.parameters():
        parameter.data.neg_()
    with pytest.raises(ValueError, match=r"is not the model: only .* nothing was written"):
        onnx_file.write(tmp_path / "model.onnx", other, graph)
    with pytest.raises(ValueError, match="is not the model"):
        program.write(tmp_path / "model.pt2", other, graph)
    assert list(tmp_path.iterdir()) == []


def test_a_model_too_large_for_a_file_is_refused():
    with torch.device("meta"):
        large = torch.nn.Linear(2**15, 2**15)
    with pytest.raises(ValueError, match=r"4\.3 GB of weights.*--format torch"):
        onnx_file.onnx_of(large, (2**15,))


def test_frames_without_a_suspect_are_received_as_they_are():
    """The search then works on no frame at all."""
    blind = replace(RENDER, equalizer="blind")
    iq = unit(frames_of(1024)[:1] + 20 * torch.randn(1, 1024, 2))
    found = view_of("symbol", 1024, blind)(Pair.of(iq)).stacked()
    plain = view_of("symbol", 1024, replace(blind, equalizer="pulse"))(Pair.of(iq)).stacked()
    assert torch.equal(found, plain)


def test_a_program_of_torch_is_read_back_and_says_the_same(tmp_path, written):
    trained, graph, _ = written
    path = tmp_path / "model.pt2"
    program.write(path, trained, graph)
    extra = {"metadata/modulations": ""}
    loaded = torch.export.load(path, extra_files=extra).module()
    frames = frames_of(256)
    for found, expected in zip(loaded(frames), graph(frames), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert json.loads(extra["metadata/modulations"]) == list(MODULATIONS)
