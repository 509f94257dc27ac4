"""The SNR after an equaliser, in closed form, against error vectors of simulated symbols."""

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.seeding import generator
from pisces.evaluation.equalized import equalized_snr
from pisces.inputs.receiver.equalizer import equalize
from pisces.inputs.receiver.spectrum import band_rates, occupied_band

SYMBOLS, SPS = 4096, 4


def response_of(pulse: str) -> torch.Tensor:
    rates = band_rates(SYMBOLS).numpy().astype(float)
    response = rml2018_response(rates) if pulse == "rml2018" else rrc_response(rates, 0.35)
    return torch.from_numpy(response)[None]


@pytest.mark.parametrize("snr_db", [0, 10, 30])
@pytest.mark.parametrize("pulse", ["rrc", "rml2018"])
def test_closed_form_is_the_error_vector_of_equalised_symbols(pulse, snr_db):
    """On a periodic block. The error is known to 4.34 / sqrt(symbols) dB, here within five.

    So is the disturbance that the equaliser tells itself.
    """
    rng = generator(1, "test equalized", pulse, snr_db)
    response, noise = response_of(pulse), 10 ** (-snr_db / 10) * SPS
    symbols = rng.choice(constellation("QPSK"), SYMBOLS)

    band = np.tile(np.fft.fft(symbols), 2) * response[0].numpy()
    spectrum = np.zeros(SYMBOLS * SPS, complex)
    spectrum[np.arange(-SYMBOLS, SYMBOLS)] = band
    clean = np.fft.ifft(spectrum)
    clean /= np.sqrt(np.mean(np.abs(clean) ** 2))
    iq = clean + np.sqrt(noise / 2) * (rng.normal(size=(len(clean), 2)) @ [1, 1j])

    received = torch.from_numpy(np.fft.fft(iq))[None]
    equalized = equalize(
        occupied_band(received, SYMBOLS),
        response,
        torch.zeros(1, 1),
        signal=torch.ones(1, 1),
        noise=torch.full((1, 1), noise),
        sps=SPS,
    )
    points = equalized.points[0].numpy()

    gain = np.vdot(symbols, points) / SYMBOLS
    error = np.mean(np.abs(points - gain * symbols) ** 2)
    measured = np.abs(gain) ** 2 / error

    tolerance_db = 5 * 4.34 / np.sqrt(SYMBOLS)
    expected = float(equalized_snr(response, torch.tensor([SPS / noise])))
    assert 10 * np.log10(measured / expected) == pytest.approx(0, abs=tolerance_db)
    told = float(equalized.disturbance)
    assert 10 * np.log10(told / error) == pytest.approx(0, abs=tolerance_db)


def test_a_nyquist_pulse_loses_nothing_and_another_does():
    es_n0 = torch.tensor([0.1, 1.0, 10.0, 1000.0])
    nyquist, other = (equalized_snr(response_of(pulse), es_n0) for pulse in ("rrc", "rml2018"))
    assert nyquist.tolist() == pytest.approx(es_n0.tolist(), rel=1e-5)
    loss_db = 10 * torch.log10(es_n0 / other)
    assert (loss_db > 0).all()
    assert loss_db[-1] > loss_db[0]  # noise hides interference
