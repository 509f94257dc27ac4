"""The flow graph of examples/, where there are GNU Radio and onnxruntime in one Python."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pisces.deploy import onnx_file
from pisces.deploy.answers import of_model
from pisces.deploy.graph import Graph
from tests.test_deploy import MODULATIONS, constellations, frames_of

EXAMPLE = Path(__file__).parents[1] / "examples" / "gnuradio_predict.py"
PYTHON = os.environ.get("GNURADIO_PYTHON") or shutil.which("python3", path="/usr/bin")
"""The Python that GNU Radio is installed for, and that has onnxruntime as well."""


def has_gnuradio() -> bool:
    if PYTHON is None:
        return False
    imports = [PYTHON, "-c", "import onnxruntime, gnuradio.gr"]
    return subprocess.run(imports, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_flow_graph_says_what_the_model_says(tmp_path):
    if not has_gnuradio():
        pytest.skip("no GNU Radio with onnxruntime; name its Python by GNURADIO_PYTHON")
    trained = constellations("small_cnn", views=("raw", "differential"))
    onnx_file.write(tmp_path / "model.onnx", trained, Graph(trained, 256).eval())
    frames = frames_of(256).numpy()
    frames.tofile(tmp_path / "recording.cfile")

    command = [str(PYTHON), str(EXAMPLE), "model.onnx", "recording.cfile"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    predicted = of_model(trained, frames)["modulation_probability"].argmax(1)
    assert f"{len(frames)} frames in" in done.stdout
    for number in np.unique(predicted):
        share = f"{(predicted == number).mean():.1%} of the frames"
        assert any(
            line.startswith(MODULATIONS[number]) and share in line
            for line in done.stdout.splitlines()
        )
