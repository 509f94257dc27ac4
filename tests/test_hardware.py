"""Why no GPU is used, and what a resumed training is told about its machine."""

import json
import warnings

import pytest
import torch

from pisces.core import hardware
from pisces.evaluation import inference
from pisces.training import devices

TOO_OLD = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). "
    "Please update your GPU driver. (Triggered internally at c10/cuda/CUDAFunctions.cpp:119.)"
)


def warning_of(answer):
    """What torch does where the driver is too old for its build."""

    def look(*_args, **_kwargs):
        warnings.warn(TOO_OLD, stacklevel=1)
        return answer

    return look


@pytest.mark.parametrize("where", ["training", "inference"])
def test_a_driver_that_is_too_old_is_said(monkeypatch, capsys, where):
    monkeypatch.setattr(torch.cuda, "is_available", warning_of(False))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", warning_of(None))
    if where == "training":
        assert devices.make_fabric("auto", "32-true").device.type == "cpu"
    else:
        assert inference.device().type == "cpu"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: no GPU is used")
    assert line.endswith("is too old (found version 11040). Please update your GPU driver.")


def test_other_warnings_pass():
    with pytest.warns(UserWarning, match="of something else"), hardware.gpu_complaints():
        warnings.warn("of something else", stacklevel=1)


def test_a_resumed_training_is_told_what_changed(tmp_path):
    fabric = devices.make_fabric("cpu", "32-true")
    first = devices.announce(fabric, tmp_path)
    assert f"threads of each: {torch.get_num_threads()}" in first
    assert "(cpu), 32-true" in first
    assert devices.announce(fabric, tmp_path) == first

    note = tmp_path / "made_on.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"threads": 64}))
    _, warning = devices.announce(fabric, tmp_path).splitlines()
    assert f"resumed with threads 64 -> {torch.get_num_threads()};" in warning


@pytest.mark.parametrize("content", ["garbage", "[]", "{}"])
def test_a_damaged_note_of_where_it_ran_stops_no_training(tmp_path, content):
    fabric = devices.make_fabric("cpu", "32-true")
    first = devices.announce(fabric, tmp_path)
    (tmp_path / "made_on.json").write_text(content)
    assert devices.announce(fabric, tmp_path) == first
