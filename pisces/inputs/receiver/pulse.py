"""The pulse of the frames being read: told, measured, found blind, or chosen frame by frame."""

from functools import cache

import numpy as np
import torch

from pisces.core.dsp import noise_power
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.texts import counted
from pisces.inputs.receiver import spectrum
from pisces.inputs.receiver.spectrum import band_rates
from pisces.inputs.settings import RenderSettings

RATES = np.arange(65) / 64
"""Frequencies in symbol rates at which a response that was found is kept."""
STANDS_OUT = 5.0
"""Standard errors of the noise floor that the signal of a file must have at least."""
LAGS = 8
"""Symbols over which a pulse is correlated with itself."""
CARRIER_LINE = 0.3
"""Share of a frame's energy in one bin of its spectrum from which on it is a carrier."""
ROLLOFFS = (0.2, 0.3, 0.4, 0.5)
"""Of the root-raised cosines that there are to choose from, beside the pulse of RML2018.01A."""
LEFT_OUT = 3
"""Bins about a carrier, on either side, that say nothing about the pulse."""
NAMED_ROLLOFFS = np.arange(5, 101) / 100
"""Of the root-raised cosines that a pulse found blind may turn out to be."""
MISFIT = 8.0
"""Times the error of a spectrum, from its finite number of symbols, by which it may miss a pulse
that has a name. Noise adds to that error."""
LEAST_SHARE = 0.05
"""Of a frame's power that counts as signal at least."""
LEAKAGE = 1e-3
"""Of the signal's power, what even a tapered frame may show in bins that the pulse leaves empty."""


def estimate_response(iq: np.ndarray, sps: int) -> tuple[float, ...]:
    """The pulse of a file, blind, from some hundred of its frames.

    Symbols are independent, so that the mean power spectrum is |P|^2 over white noise. It comes
    from the unbiased autocorrelation of the frames up to `LAGS` symbols, less the floor. Frames
    with a carrier line (OOK, unipolar ASK) are left out, and the phase of the pulse is taken as 0.

    So few lags blur the edges of the spectrum. Where a root-raised cosine of some roll-off, or the
    pulse of RML2018.01A, blurred alike, is as near as the number of symbols can tell, it is that
    pulse. Then the error vector of the symbols is that with the pulse known, and else, with 1 000
    frames of 1 024 samples, within 2 dB of it at up to 30 dB.

    Args:
        iq: complex (n, samples), of linear modulations, of any power.
        sps: samples a symbol.

    Returns:
        The amplitude response at `RATES`; its square is 1 in the mean over the symbol rate.

    Raises:
        ValueError: where every frame has a carrier line, or no frame stands out of the noise.
    """
    samples = iq.shape[1]
    power = np.mean(np.abs(iq) ** 2, axis=1)
    padded = np.abs(np.fft.fft(iq, 2 * samples)) ** 2  # as many zeros as samples behind these
    lines = padded[:, ::2] / samples**2
    usable = lines.max(1) < CARRIER_LINE * power
    if not usable.any():
        raise ValueError(
            f"the pulse cannot be found from {counted(len(iq), 'frame')}: a carrier line is in "
            "all; set render.pulse to rrc or rml2018"
        )
    padded = np.mean(padded[usable] / power[usable, None], 0)
    lags, correlation = _autocorrelation(padded, LAGS * sps)
    correlation[0] -= np.mean(noise_power(iq[usable]) / power[usable])

    # The floor is the median of half the bins of every frame, over ln 2.
    size = usable.sum() * samples
    floor_error = 1 / (np.log(2) * np.sqrt(size / 2))
    if correlation[0] < STANDS_OUT * floor_error:
        raise ValueError(
            f"the pulse cannot be found from {counted(len(iq), 'frame')}: no signal stands out "
            "of the noise; set render.pulse to rrc or rml2018"
        )
    found = _density(correlation, lags / sps)
    named, blurred = _named_pulses(lags / sps)
    misses = np.sum((blurred - found) ** 2, 1) / np.sum(blurred**2, 1)
    error = (len(lags) - 1) / size  # of a density, over itself and squared

    nearest = misses.argmin()
    density = named[nearest] if misses[nearest] < MISFIT * error else found
    return tuple(np.sqrt(density / (2 * density.mean())).round(6).tolist())


def _density(correlation: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Power density at `RATES`, of mean 1/2, of a real correlation at lags from 0 on, in symbols.

    Both may have leading axes: (..., lags) -> (..., rates).
    """
    waves = np.cos(2 * np.pi * np.outer(lags, RATES))
    density = np.maximum(np.where(lags > 0, 2, 1) * correlation @ waves, 0)
    return density / (2 * density.mean(-1, keepdims=True))


def _named_pulses(lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power densities at `RATES` of pulses that have a name: as they are, and from so many lags.

    Args:
        lags: in symbols, from 0 on.

    Returns:
        Two arrays (pulses, rates), of any scale, and of mean 1/2.
    """
    finer = 16
    rates = np.linspace(0, 1, finer * (len(RATES) - 1) + 1)
    responses = [rml2018_response(rates), *(rrc_response(rates, one) for one in NAMED_ROLLOFFS)]
    fine = np.stack(responses) ** 2

    weights = np.where((rates > 0) & (rates < 1), 1, 0.5)  # of the trapezoid rule
    correlation = (weights * fine) @ np.cos(2 * np.pi * np.outer(rates, lags))
    return fine[:, ::finer], _density(correlation, lags)


def _autocorrelation(padded: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Lags 0 to `most` in samples, and the real autocorrelation there, unbiased.

    `padded` are squared magnitudes of the spectrum of samples and as many zeros, (2 * samples,).
    """
    samples = len(padded) // 2
    lags = np.arange(min(most, samples // 2) + 1)
    return lags, np.fft.ifft(padded).real[: len(lags)] / (samples - lags)


def responses_of(iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """The responses of the pulses of frames, as `render.pulse` says.

    Args:
        iq: complex64 (n, samples).
        render: `pulse`, `rolloff` of rrc, and `response` of estimated, at `RATES`.

    Returns:
        float32 at `spectrum.band_rates`, (1, 2 * symbols), or (n, 2 * symbols) where chosen frame
        by frame.

    Raises:
        ValueError: for an estimated pulse that has not been estimated.
    """
    if render.pulse == "chosen":
        return choose_response(iq, render.sps)
    return fixed_response(iq.shape[1] // render.sps, render).to(iq.device)


@cache
def fixed_response(symbols: int, render: RenderSettings) -> torch.Tensor:
    """Of a pulse that is one for all frames of so many symbols, float32 (1, 2 * symbols).

    Raises:
        ValueError: for an estimated pulse that has not been estimated, and for one that is chosen.
    """
    rates = band_rates(symbols).numpy().astype(float)
    return torch.from_numpy(_response_at(np.abs(rates), render)).float()[None]


def _response_at(rates: np.ndarray, render: RenderSettings) -> np.ndarray:
    """The response of a pulse that is one for all frames, at frequencies in symbol rates."""
    match render.pulse:
        case "rrc":
            return rrc_response(rates, render.rolloff)
        case "rml2018":
            return rml2018_response(rates)
        case "estimated" if render.response:
            return np.interp(rates, RATES, render.response)
    raise ValueError(
        f"render.pulse {render.pulse!r} has no response of its own; "
        "take the settings of rendered constellations, or set render.pulse to rrc or rml2018"
    )


def choose_response(iq: torch.Tensor, sps: int) -> torch.Tensor:
    """The likeliest pulse of each frame: that of RML2018.01A, or a root-raised cosine.

    Bins of a spectrum are taken as independent Gaussians of the power that pulse and noise give
    them (Whittle, Ark. Mat. 2 (1953) 423); those about a carrier, which ASK may have, are left out.

    Args:
        iq: complex64 (n, samples).
        sps: samples a symbol.

    Returns:
        float32 (n, 2 * symbols) at `spectrum.band_rates`.
    """
    level = spectrum.power_of(iq).mean(1, keepdim=True).sqrt()
    unit = iq / level
    return likeliest_response(spectrum.observe(unit, torch.fft.fft(unit), sps), sps)


def likeliest_response(observed: spectrum.Observed, sps: int) -> torch.Tensor:
    """As `choose_response`, of frames over their RMS whose spectra are known."""
    symbols = observed.band.shape[1] // 2
    bank = _bank(symbols).to(observed.band.device)  # (pulses, 2 * symbols)

    noise = observed.noise
    signal = torch.maximum(1 - noise, torch.full_like(noise, LEAST_SHARE))
    floor = torch.maximum(noise, LEAKAGE * signal)

    # White noise fills sps symbol rates, the signal two of them.
    density = sps / 2 * bank.square() / bank.square().mean(1, keepdim=True)
    expected = signal[..., None] * density + floor[..., None]  # (n, pulses, bins)
    periodogram = spectrum.power_of(observed.tapered)
    misfit = expected.log() + periodogram[:, None] / expected

    about_carrier = slice(symbols - LEFT_OUT, symbols + LEFT_OUT + 1)
    misfit[..., about_carrier] = 0
    return bank[misfit.sum(2).argmin(1)]


@cache
def _bank(symbols: int) -> torch.Tensor:
    """Responses to choose from, float32 (pulses, 2 * symbols), at `spectrum.band_rates`."""
    rates = band_rates(symbols).numpy().astype(float)
    responses = [rml2018_response(rates)]
    responses += [rrc_response(rates, rolloff) for rolloff in ROLLOFFS]
    return torch.from_numpy(np.stack(responses)).float()


def difference_of_pulses_db(one: RenderSettings, other: RenderSettings) -> float:
    """How far two pulses are apart: power of the difference of their responses over that of one.

    -inf where the view `symbol` is not made, or pulses are chosen frame by frame.
    """
    if "symbol" not in one.views or "chosen" in (one.pulse, other.pulse):
        return -np.inf
    first, second = (_response_at(RATES, render) for render in (one, other))
    first, second = (response / np.linalg.norm(response) for response in (first, second))
    difference = np.sum((first - second) ** 2)
    return float(10 * np.log10(difference)) if difference > 0 else -np.inf
