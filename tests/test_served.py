"""A model in MLflow's registry, and behind an HTTP port on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from pisces.commands import deployment
from pisces.deploy import served
from pisces.models import modelfile
from pisces.run import mlflow_store, tracking
from tests.test_deploy import MODULATIONS, constellations, frames_of

START_SECONDS = 300
"""That a server may take on a busy machine; alone it takes ten."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A saved model."""
    path = tmp_path_factory.mktemp("model")
    modelfile.save(path, constellations("small_cnn", views=("raw", "differential")))
    return path


@pytest.fixture
def store(tmp_path, monkeypatch) -> str:
    """The address of a store of its own."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("PISCES_TRACKING", "on")
    return address


def test_a_served_model_answers_in_words(folder):
    frames = frames_of(256).numpy()
    answer = served.load(folder).predict(frames.tolist())  # as they come from JSON
    assert len(answer) == len(frames)
    assert set(answer["modulation"]) <= set(MODULATIONS)
    probabilities = np.array(answer["modulation_probability"].tolist())
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities.max(1), answer["probability"])


def test_a_served_model_refuses_silence(folder):
    with pytest.raises(ValueError, match="frame 0 of 2 has no power"):
        served.load(folder).predict(np.zeros((2, 256, 2)))


def test_no_model_is_registered_without_tracking(monkeypatch):
    monkeypatch.setenv("PISCES_TRACKING", "off")
    with pytest.raises(ValueError, match="PISCES_TRACKING=off"):
        tracking.register([], served.__name__, "abc", np.zeros((1, 2, 2)), None)


@pytest.mark.slow
def test_a_registered_model_is_served_over_http(folder, store, capfd):
    deployment.register_model(folder)
    assert f"models:/{mlflow_store.REGISTERED}/latest" in capfd.readouterr().out
    frames = frames_of(256)[:3].numpy()
    expected = served.load(folder).predict(frames)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    program = [sys.executable, "-m", "mlflow", "models", "serve", "-m"]
    # Of the environment and from a folder that a server has: without this repository.
    server = subprocess.Popen(
        [*program, f"models:/{mlflow_store.REGISTERED}/latest", *options],
        cwd=folder,
        env=os.environ | {"MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server)
        found = ask(port, frames)["predictions"]
        assert [row["modulation"] for row in found] == list(expected["modulation"])
        found_db = [row["snr_db"] for row in found]
        np.testing.assert_allclose(found_db, expected["snr_db"], atol=1e-3)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(port, 0 * frames)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def wait_for(address: str, server: subprocess.Popen) -> None:
    """Returns when a server answers."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"no server at {address}")


def ask(port: int, frames: np.ndarray) -> dict:
    """What the server answers to frames."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps({"inputs": frames.tolist()}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)
