r"""A GNU Radio 3.10 flow graph that names the modulation in a recording, frame by frame.

    python gnuradio_predict.py model.onnx recording.cfile --sample-rate 1e6 --symbol-rate 125e3 \
        --centre 20e3

The exported model finds neither the carrier nor the symbol rate: both are given here. `pisces
predict recording.cfile` finds them, in the columns centre and symbol rate of its table.

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
    """Vectors of `frame_samples` complex samples -> number of the modulation, SNR in dB, novelty.

    Novelty counts in thresholds of the model: of a signal that is unlike all that it was trained
    on, the median over frames is above 1. It is 0 where the model has no threshold. Each frame is
    also a message on the port `predictions`: a dictionary of `frame`, `modulation`, `probability`,
    `snr_db` and `novelty`.
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
        self.threshold = json.loads(about["novelty_threshold"])  # None where there is none
        self.frame = 0

        gr.sync_block.__init__(
            self,
            name="Predict modulation",
            in_sig=[(np.complex64, self.samples)],
            out_sig=[np.int32, np.float32, np.float32],
        )
        self.message_port_register_out(pmt.intern("predictions"))

    def work(self, input_items: list, output_items: list) -> int:
        iq = np.ascontiguousarray(input_items[0])  # (frames, samples)
        frames = iq.view(np.float32).reshape(len(iq), self.samples, 2)
        modulation, _, snr_db, distance = self.session.run(None, {"frames": frames})

        known = np.isfinite(snr_db)
        output_items[0][:] = np.where(known, modulation.argmax(1), UNKNOWN)
        output_items[1][:] = snr_db
        output_items[2][:] = distance / self.threshold if self.threshold else 0
        probability = modulation.max(1)
        for row in range(len(iq)):
            number, one_db, novelty = (output[row].item() for output in output_items)
            self._tell(number, probability[row].item(), one_db, novelty)
        return len(iq)

    def _tell(self, number: int, probability: float, snr_db: float, novelty: float) -> None:
        name = "unknown" if number == UNKNOWN else self.modulations[number]
        content = {"modulation": name, "probability": probability, "snr_db": snr_db}
        content["novelty"] = novelty
        message = pmt.to_pmt({"frame": self.frame} | content)
        self.message_port_pub(pmt.intern("predictions"), message)
        self.frame += 1


class Recording(gr.top_block):
    """File -> carrier to 0 -> resampler -> frames -> `Predict` -> lists of what it says.

    Args:
        model: the exported file.
        path: of complex64.
        centre: of the signal, cycles a sample of the file.
        resampled_by: the sample rate of the frames over that of the file.
    """

    def __init__(self, model: str, path: str, centre: float, resampled_by: float) -> None:
        gr.top_block.__init__(self, "Modulations in a recording")
        self.predict = Predict(model)
        self.numbers = blocks.vector_sink_i()
        self.snrs_db, self.novelties = blocks.vector_sink_f(), blocks.vector_sink_f()

        chain = [blocks.file_source(gr.sizeof_gr_complex, path, False)]
        if centre:
            chain.append(blocks.rotator_cc(-2 * np.pi * centre))
        if resampled_by != 1:
            taps = filter.firdes.low_pass(32, 32, 0.4 * min(1, resampled_by), 0.1)
            chain.append(filter.pfb_arb_resampler_ccf(resampled_by, taps, 32))
        framing = blocks.stream_to_vector(gr.sizeof_gr_complex, self.predict.samples)
        self.connect(*chain, framing, self.predict)
        self.connect((self.predict, 0), self.numbers)
        self.connect((self.predict, 1), self.snrs_db)
        self.connect((self.predict, 2), self.novelties)


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
    off = "Hz, where the signal is in the recording, as pisces predict finds it; default: 0"
    parser.add_argument("--centre", type=float, default=0, help=off)
    arguments = parser.parse_args()
    if bool(arguments.sample_rate) != bool(arguments.symbol_rate):
        parser.error("--sample-rate and --symbol-rate go together")
    if arguments.centre and not arguments.sample_rate:
        parser.error("--centre needs --sample-rate")

    rate = rate_of(arguments.model, arguments.sample_rate, arguments.symbol_rate)
    centre = arguments.centre / (arguments.sample_rate or 1)
    graph = Recording(arguments.model, arguments.recording, centre, rate)
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
    if graph.predict.threshold:
        novelty = np.nanmedian(graph.novelties.data())
        verdict = "unlike all that the model was trained on" if novelty > 1 else "known"
        print(f"novelty {novelty:.2f} thresholds, median over frames: {verdict}")


if __name__ == "__main__":
    main()
