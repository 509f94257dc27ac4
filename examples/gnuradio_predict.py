"""A GNU Radio 3.10 flow graph that names the modulation in a recording, frame by frame.

    python gnuradio_predict.py model.onnx recording.cfile --sample-rate 1e6 --symbol-rate 125e3

The file holds complex64, I then Q. The block `Predict` runs a model exported by `python -m pisces
export-model`; it needs numpy and onnxruntime and nothing of pisces, and can be pasted into an
Embedded Python Block of GNU Radio Companion. docs/guide/deploy.md says how onnxruntime gets to the
Python of GNU Radio.
"""

import argparse
import json
import time

import numpy as np
import onnxruntime
import pmt
from gnuradio import blocks, filter, gr

UNKNOWN = -1
"""Number of the modulation of a frame that none can be told of: silence, or NaN in it."""


class Predict(gr.sync_block):
    """Vectors of `frame_samples` complex samples -> number of the modulation and SNR in dB.

    Each frame is also a message on the port `predictions`: a dictionary of `frame`, `modulation`,
    `probability` and `snr_db`.
    """

    def __init__(self, model: str = "model.onnx") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # GNU Radio has a thread for each block
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        about = self.session.get_modelmeta().custom_metadata_map
        self.modulations = json.loads(about["modulations"])
        self.samples = int(about["frame_samples"])
        self.samples_per_symbol = about["samples_per_symbol"]
        self.frame = 0

        gr.sync_block.__init__(
            self,
            name="Predict modulation",
            in_sig=[(np.complex64, self.samples)],
            out_sig=[np.int32, np.float32],
        )
        self.message_port_register_out(pmt.intern("predictions"))

    def work(self, input_items: list, output_items: list) -> int:
        iq = np.ascontiguousarray(input_items[0])  # (frames, samples)
        frames = iq.view(np.float32).reshape(len(iq), self.samples, 2)
        modulation, _, snr_db, _ = self.session.run(None, {"frames": frames})

        known = np.isfinite(snr_db)
        output_items[0][:] = np.where(known, modulation.argmax(1), UNKNOWN)
        output_items[1][:] = snr_db
        rows = zip(output_items[0], modulation.max(1), snr_db, strict=True)
        for number, probability, one_db in rows:
            self._tell(int(number), float(probability), float(one_db))
        return len(iq)

    def _tell(self, number: int, probability: float, snr_db: float) -> None:
        name = "unknown" if number == UNKNOWN else self.modulations[number]
        content = {"modulation": name, "probability": probability, "snr_db": snr_db}
        message = pmt.to_pmt({"frame": self.frame} | content)
        self.message_port_pub(pmt.intern("predictions"), message)
        self.frame += 1


class Recording(gr.top_block):
    """File -> resampler -> frames -> `Predict` -> lists of what it says."""

    def __init__(self, model: str, path: str, resampled_by: float) -> None:
        gr.top_block.__init__(self, "Modulations in a recording")
        self.predict = Predict(model)
        self.numbers, self.snrs_db = blocks.vector_sink_i(), blocks.vector_sink_f()

        chain = [blocks.file_source(gr.sizeof_gr_complex, path, False)]
        if resampled_by != 1:
            taps = filter.firdes.low_pass(32, 32, 0.4 * min(1, resampled_by), 0.1)
            chain.append(filter.pfb_arb_resampler_ccf(resampled_by, taps, 32))
        framing = blocks.stream_to_vector(gr.sizeof_gr_complex, self.predict.samples)
        self.connect(*chain, framing, self.predict)
        self.connect((self.predict, 0), self.numbers)
        self.connect((self.predict, 1), self.snrs_db)


def rate_of(model: str, sample_rate_hz: float, symbol_rate_hz: float) -> float:
    """By how much a recording is resampled to have as many samples a symbol as the model takes."""
    if not sample_rate_hz:
        return 1.0
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    return float(about["samples_per_symbol"]) * symbol_rate_hz / sample_rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("recording", help="complex64")
    parser.add_argument("--sample-rate", type=float, default=0, help="Hz; default: fits the model")
    parser.add_argument("--symbol-rate", type=float, default=0, help="Hz")
    arguments = parser.parse_args()
    if bool(arguments.sample_rate) != bool(arguments.symbol_rate):
        parser.error("--sample-rate and --symbol-rate go together")

    rate = rate_of(arguments.model, arguments.sample_rate, arguments.symbol_rate)
    graph = Recording(arguments.model, arguments.recording, rate)
    start = time.perf_counter()
    graph.run()
    seconds = time.perf_counter() - start

    numbers = np.array(graph.numbers.data(), dtype=int)
    if not len(numbers):
        parser.error(f"{arguments.recording} holds less than {graph.predict.samples} samples")
    print(f"{len(numbers)} frames in {seconds:.2f} s")
    for number in np.unique(numbers):
        rows = numbers == number
        name = "unknown" if number == UNKNOWN else graph.predict.modulations[number]
        snr_db = np.array(graph.snrs_db.data())[rows].mean()
        print(f"{name:8} {rows.mean():6.1%} of the frames, SNR {snr_db:5.1f} dB in the mean")


if __name__ == "__main__":
    main()
