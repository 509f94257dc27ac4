"""The example's flow graph on stand-ins for the blocks of GNU Radio: no GNU Radio is needed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "gnuradio_predict.py"
SAMPLES = 64


class Block:
    """Of any kind; it remembers what it was made with."""

    def __init__(self, *made_with, **_named):
        self.made_with = made_with

    def __getattr__(self, name):
        if name.startswith("message_port"):
            return lambda *_message: None
        raise AttributeError(name)


class Chain(Block):
    connected: tuple = ()

    def connect(self, *chain):
        self.connected += (chain,)


class Session:
    """Of a model that finds every frame as far from what it knows as its first sample says."""

    def __init__(self, *_arguments, **_named):
        pass

    def get_modelmeta(self):
        about = {"modulations": '["BPSK", "QPSK"]', "frame_samples": str(SAMPLES)}
        about |= {"samples_per_symbol": "8", "novelty_threshold": "2.0"}
        return SimpleNamespace(custom_metadata_map=about)

    def run(self, _names, inputs):
        first = inputs["frames"][:, 0, 0]
        modulation = np.tile(np.float32([0.2, 0.8]), (len(first), 1))
        return modulation, modulation, np.full(len(first), 9, np.float32), first


@pytest.fixture
def example(monkeypatch):
    """The module of the example."""
    blocks = ModuleType("blocks")
    for name in ("file_source", "rotator_cc", "stream_to_vector", "vector_sink_i", "vector_sink_f"):
        setattr(blocks, name, type(name, (Block,), {}))
    gr = SimpleNamespace(sync_block=Block, top_block=Chain, sizeof_gr_complex=8)
    monkeypatch.setitem(
        sys.modules, "gnuradio", SimpleNamespace(blocks=blocks, filter=ModuleType("filter"), gr=gr)
    )
    monkeypatch.setitem(sys.modules, "pmt", SimpleNamespace(intern=str, to_pmt=dict))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    spec = importlib.util.spec_from_file_location("gnuradio_predict", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_block_says_how_novel_a_frame_is_in_thresholds(example):
    frames = np.ones((3, SAMPLES), np.complex64) * np.float32([[1], [2], [5]])
    outputs = [np.zeros(3, np.int32), np.zeros(3, np.float32), np.zeros(3, np.float32)]
    assert example.Predict().work([frames], outputs) == 3
    assert outputs[0].tolist() == [1, 1, 1]
    assert outputs[2].tolist() == [0.5, 1.0, 2.5]


def test_the_carrier_is_brought_to_the_middle(example):
    (chain, *_) = example.Recording("model.onnx", "a.cfile", 0.25, 1.0).connected
    (rotator,) = [block for block in chain if type(block).__name__ == "rotator_cc"]
    assert rotator.made_with == (pytest.approx(-np.pi / 2),)
    (chain, *_) = example.Recording("model.onnx", "a.cfile", 0.0, 1.0).connected
    assert "rotator_cc" not in {type(block).__name__ for block in chain}
