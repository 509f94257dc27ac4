"""Bad recordings, options and models: one line each, and nothing half-written."""

import functools
import json
import math
import os
import signal as signals
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pisces import models
from pisces.core import progress
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture, modelfile
from pisces.models.cldnn import Settings
from pisces.prediction import recordings
from tests.predicting import (
    CLASSES,
    RATE_HZ,
    SAMPLES,
    SNRS_DB,
    Answer,
    model,
    predict,
    signal,
    trained,
    write_sigmf,
)
from tests.recorded import noise

__all__ = ["model", "predict", "signal", "trained"]

ROOT = Path(__file__).parents[1]


def is_one_line(answer: Answer, *words: str) -> bool:
    """Whether the reason is one line, beside those that say what is being done, and the count."""
    errors = [line for line in answer.complained.splitlines() if line.startswith("error")]
    is_plain = "Traceback" not in answer.complained and "Warning" not in answer.complained
    named = all(any(word in line for line in errors) for word in words)
    return answer.status == 1 and is_plain and 1 <= len(errors) <= 2 and named


def raw(path: Path, iq: np.ndarray) -> Path:
    np.asarray(iq, np.complex64).tofile(path)
    return path


RNG = np.random.default_rng(1)
NOISE = noise(20_000, 1.0, rng=RNG)
HOLED = np.where(np.arange(20_000) == 777, np.nan, NOISE)

BAD = {
    "silence": (np.zeros(20_000), "silent"),
    "constant": (np.full(20_000, 0.3 + 0.1j), "silent"),
    "holed": (HOLED, "777"),
    "single": (NOISE[:1], "1 sample,"),
    "brief": (NOISE[:500], "500 samples"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recording_is_one_line(predict, tmp_path, name):
    iq, word = BAD[name]
    answer = predict(raw(tmp_path / f"{name}.cf32", iq), "--sample-rate", RATE_HZ)
    assert is_one_line(answer, word, f"{name}.cf32"), answer
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["tone", "noise"])
def test_what_is_no_signal_is_none(predict, tmp_path, kind):
    made = {
        "tone": np.exp(0.2j * np.pi * np.arange(20_000)) + 0.1 * NOISE,
        "noise": NOISE,
    }
    answer = predict(raw(tmp_path / "it.cf32", made[kind]), "--sample-rate", RATE_HZ)
    assert answer.status == 0, answer
    assert "no modulated signal" in answer.printed


def test_one_bad_recording_does_not_stop_the_others(predict, tmp_path, signal):
    bad = raw(tmp_path / "bad.cf32", HOLED)
    cut = tmp_path / "cut.cf32"
    cut.write_bytes(b"1234567")
    good = write_sigmf(tmp_path / "good", signal)
    answer = predict(bad, cut, tmp_path / "missing.wav", good, "--explain")
    assert answer.status == 1
    assert all(name in answer.complained for name in ("bad.cf32", "cut.cf32", "missing.wav"))
    assert "3 of 4" in answer.complained
    (recording,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert recording["recording"] == "good.sigmf-data"


def test_one_bad_channel_does_not_stop_the_other(predict, tmp_path, signal):
    channels = [signal, np.zeros_like(signal)]
    sound = np.stack([part for iq in channels for part in (iq.real, iq.imag)], 1) / 10
    soundfile.write(tmp_path / "two.wav", sound, int(RATE_HZ), subtype="FLOAT")
    answer = predict(tmp_path / "two.wav")
    assert answer.status == 1
    (recording,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert recording["recording"] == "two.wav[channel 0]"


def test_pictures_of_a_recording_that_fails_later_do_not_appear(predict, tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "AT_ONCE", 2)
    frames = NOISE[: 4 * SAMPLES].reshape(4, SAMPLES).astype(np.complex64)
    frames[3] = 0  # in the second block that is read
    np.save(tmp_path / "frames.npy", frames)
    answer = predict(tmp_path / "frames.npy", "--explain")
    assert is_one_line(answer, "frames.npy"), answer
    assert not list(tmp_path.rglob("*.png"))
    assert not list(tmp_path.rglob(".work"))


def test_frames_too_short_for_the_model_are_refused(predict, tmp_path):
    np.save(tmp_path / "short.npy", NOISE.reshape(200, 100))
    assert is_one_line(predict(tmp_path / "short.npy"), "frames of 100 samples")


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "2e6", "1", "1e300"])
def test_an_impossible_symbol_rate_is_one_line(predict, tmp_path, signal, rate):
    answer = predict(write_sigmf(tmp_path / "burst", signal), f"--symbol-rate={rate}")
    assert is_one_line(answer), answer
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_an_impossible_sample_rate_is_one_line(predict, tmp_path, signal, rate):
    answer = predict(write_sigmf(tmp_path / "burst", signal), f"--sample-rate={rate}")
    assert is_one_line(answer, "--sample-rate"), answer


@pytest.mark.parametrize("rate", ["1e-300", "1e300"])
def test_an_absurd_sample_rate_is_taken_at_its_word(predict, tmp_path, signal, rate):
    answer = predict(write_sigmf(tmp_path / "burst", signal), f"--sample-rate={rate}")
    assert answer.status == 0, answer
    assert max(map(len, answer.printed.splitlines())) <= 120


def test_annotated_without_annotations_is_one_line(predict, tmp_path, signal):
    answer = predict(write_sigmf(tmp_path / "burst", signal), "--annotated")
    assert is_one_line(answer, "--annotated")


def test_a_file_in_the_place_of_the_folder_is_said_before_the_work(predict, tmp_path, signal):
    (tmp_path / "out").write_text("mine")
    answer = predict(write_sigmf(tmp_path / "burst", signal))
    assert is_one_line(answer, "out is a file")
    assert answer.printed == ""
    assert (tmp_path / "out").read_text() == "mine"


def test_names_from_metadata_stay_in_the_folder(predict, tmp_path, signal):
    metadata = write_sigmf(tmp_path / 'ünï → "x";$(ls)', signal)
    answer = predict(metadata, "--explain")
    assert answer.status == 0, answer
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(names) == 5
    assert {path.name for path in tmp_path.iterdir()} >= {"out", metadata.name}


def test_annotations_too_short_for_a_frame_cost_no_time(predict, tmp_path, signal):
    tiny = [{"core:sample_start": n % 20_000, "core:sample_count": 50} for n in range(100_000)]
    metadata = write_sigmf(tmp_path / "burst", signal, *tiny)
    began = time.process_time()
    answer = predict(metadata, "--annotated")
    assert is_one_line(answer, "no annotations of 128 samples")
    assert time.process_time() - began < 20


# Models


def test_without_calibration_known_is_null_and_that_is_said(predict, trained, tmp_path, signal):
    modelfile.save(tmp_path / "bare", trained._replace(calibration=None))
    answer = predict(write_sigmf(tmp_path / "burst", signal), model=tmp_path / "bare")
    assert answer.status == 0, answer
    assert "not calibrated" in answer.complained
    (recording,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    (segment,) = recording["segments"]
    assert segment["modulation"] == "QPSK"
    assert [segment[key] for key in ("known", "novelty", "snr_interval_db")] == [None] * 3


def untrained(folder: Path, architecture: Architecture, seen) -> Path:
    model = models.build(architecture, seen.shape, len(CLASSES), SNRS_DB).eval()
    modelfile.save(folder, modelfile.TrainedModel(model, architecture, seen, CLASSES, SNRS_DB))
    return folder


def test_a_model_of_raw_frames_predicts_and_explains_nothing(predict, tmp_path, signal):
    architecture = Architecture("mcnet", "plain", "standard")
    folder = untrained(tmp_path / "raw", architecture, Waveform(SAMPLES, 8))
    metadata = write_sigmf(tmp_path / "burst", signal)
    assert predict(metadata, model=folder).status == 0
    answer = predict(metadata, "--explain", model=folder)
    assert is_one_line(answer, "raw frames")


def test_a_model_that_is_conditioned_on_the_snr_is_refused(predict, tmp_path, signal):
    settings = Settings()._replace(condition="known")
    architecture = Architecture("cldnn", "plain", "standard", settings)
    folder = untrained(tmp_path / "oracle", architecture, Waveform(SAMPLES, 8))
    answer = predict(write_sigmf(tmp_path / "burst", signal), model=folder)
    assert is_one_line(answer, "conditioned on the true SNR")


def test_a_card_that_does_not_say_how_long_frames_are_is_refused(
    predict, trained, tmp_path, signal
):
    seen = trained.input
    old = trained._replace(input=replace(seen, render=replace(seen.render, samples=0)))
    modelfile.save(tmp_path / "old", old._replace(calibration=None))
    answer = predict(write_sigmf(tmp_path / "burst", signal), model=tmp_path / "old")
    assert is_one_line(answer, "samples frames and symbols")


@pytest.mark.parametrize("left_out", ["model.json", "model.safetensors"])
def test_half_a_model_is_refused(predict, trained, tmp_path, signal, left_out):
    modelfile.save(tmp_path / "half", trained)
    (tmp_path / "half" / left_out).unlink()
    answer = predict(write_sigmf(tmp_path / "burst", signal), model=tmp_path / "half")
    assert is_one_line(answer, left_out)
    assert not (tmp_path / "out").exists()


# Long recordings


def test_progress_is_said_in_shares_of_the_recording(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    with progress.meter("samples of x", 200) as tell:
        tell(50)
        tell(150)
    assert capsys.readouterr().err == "samples of x: 25 %\nsamples of x: 75 %\n"


SPARSE = 10**8
"""Samples of a recording that is zero but for one burst."""
WHOLE_PROCESS_BYTES = 1.3e9
"""PyTorch, and a chunk of a recording many times over."""
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command and prints its peak in KiB. From a small process: a peak is never below the memory
of the process that started it."""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(model, tmp_path, signal):
    path = tmp_path / "sparse.cf32"
    with path.open("wb") as file:
        file.truncate(8 * SPARSE)
        file.seek(8 * SPARSE // 2)
        file.write(signal.tobytes())
    command = [sys.executable, "-m", "pisces", "predict", path, "--sample-rate", "1e6"]
    arguments = [*command, "--model", model, "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], cwd=ROOT, check=True, capture_output=True
    )
    peak_kib = int(done.stdout.split()[-1])
    assert peak_kib * 1024 < WHOLE_PROCESS_BYTES
    assert (tmp_path / "out" / "predictions.json").is_file()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(model, tmp_path, signal):
    path = tmp_path / "long.cf32"
    np.tile(signal, 400).tofile(path)
    command = [sys.executable, "-m", "pisces", "predict", path, "--sample-rate", "1e6", "--explain"]
    running = subprocess.Popen(
        [*command, "--model", model, "--out", "out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # A shell lets its background jobs ignore Ctrl-C, and these tests may be one.
        preexec_fn=functools.partial(signals.signal, signals.SIGINT, signals.SIG_DFL),
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "long.cf32" in line:
            break
    time.sleep(2)
    running.send_signal(signals.SIGINT)
    _, complained = running.communicate(timeout=60)
    assert running.returncode == 128 + signals.SIGINT
    assert "Traceback" not in complained
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.png"))


def deep(levels: int) -> list:
    return functools.reduce(lambda inner, _: [inner], range(levels), [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"core:extensions": "x"}, None),
        ({"core:extensions": [1, None, {"name": ["a"]}]}, None),
        ({"x:y": math.nan}, "it holds NaN, which JSON does not know"),
        (
            {"x:y": functools.reduce(lambda inner, _: [inner], range(600), 1)},
            "nested more than 100",
        ),
    ],
)
def test_odd_metadata_are_one_line_or_none(predict, tmp_path, signal, changes, message):
    answer = predict(write_sigmf(tmp_path / "burst", signal, **changes))
    assert answer.status == (1 if message else 0), answer
    if message:
        assert message in answer.complained


def test_levels_beyond_float32_are_refused_with_their_place(predict, tmp_path, signal):
    loud = signal.copy()
    loud[1234] = 1e30
    answer = predict(write_sigmf(tmp_path / "burst", loud))
    assert answer.status == 1
    assert "sample 1234 has a level of 1e+30, beyond 1e+15: give the right" in answer.complained


def test_a_name_with_escapes_is_shown_and_not_obeyed(predict, tmp_path, signal):
    answer = predict(write_sigmf(tmp_path / "a\x1b[31m", signal))
    assert "\x1b" not in answer.printed + answer.complained
