"""The way of a signal from the modulator to the file: what is drawn, and in which order.

1. Transmitter: the amplifier.
2. Channel: multipath, then the echo.
3. Sampling: the clock of the receiver, with offset and drift, and the cut of the frame.
4. Carrier: phase and offset, then phase noise. The frame then has unit power.
5. Antenna: co-channel and adjacent interference, then white noise. The SNR is that of the frame's
   own signal, interference aside.
6. Receiver: low-pass of all that came in, a gain control to unit power, IQ imbalance, DC offset,
   quantiser.

Steps 1 and 2 act on a periodic block, on which a filter is a product of spectra. What is not asked
for draws nothing from the generators, so that it leaves all other draws as they were.
`core.impairments` has the arithmetic.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from pisces.core import impairments
from pisces.core.impairment_settings import ImpairmentSettings, InterferenceSettings, Range
from pisces.core.modulations import constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.sources.modulators import Response, complex_normal, shape_pulses
from pisces.sources.settings import MultipathSettings, Physics

GUARD_SYMBOLS = 16
"""By which a block is longer than the frame, at each end."""
NO_IMPAIRMENTS = ImpairmentSettings()

Generators = Sequence[np.random.Generator]
"""One for each frame of a batch."""


def draw(rngs: Generators, one: Callable[[np.random.Generator], float]) -> np.ndarray:
    """One number a frame, as a column (batch, 1) that broadcasts over time."""
    return np.array([[one(rng)] for rng in rngs])


def uniform(rngs: Generators, limits: Range) -> np.ndarray:
    """One number a frame, uniform within the limits, as a column (batch, 1)."""
    return draw(rngs, lambda rng: rng.uniform(*limits))


def asked(physics: Physics) -> ImpairmentSettings:
    """The impairments, all of them None where there are none."""
    return physics.impairments or NO_IMPAIRMENTS


def margin(physics: Physics) -> int:
    """Samples at each end of a frame that the receiver's low-pass takes."""
    return impairments.LOWPASS_REACH if asked(physics).lowpass else 0


def block_symbols(physics: Physics) -> int:
    """Symbols of a block; even, so that GMSK and its like can close their phase."""
    return 2 * (-(-physics.samples // (2 * physics.sps)) + GUARD_SYMBOLS)


def pulse(physics: Physics, rngs: Generators) -> Response:
    """The response of the pulse; of root-raised cosines each frame draws the roll-off."""
    if physics.pulse == "rml2018":
        return rml2018_response
    return partial(rrc_response, rolloff=uniform(rngs, physics.rolloff))


def transmitted(block: np.ndarray, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 1, on blocks (batch, length)."""
    amplifier = asked(physics).amplifier
    if amplifier is None:
        return block
    smoothness = uniform(rngs, amplifier.smoothness)
    return impairments.rapp(block, smoothness, uniform(rngs, amplifier.backoff_db))


def propagated(block: np.ndarray, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 2, on blocks (batch, length)."""
    frequency = np.fft.fftfreq(block.shape[-1])
    if physics.multipath:
        responses = [multipath_response(frequency, physics.multipath, rng=rng) for rng in rngs]
        block = np.fft.ifft(np.fft.fft(block) * np.stack(responses))

    echo = asked(physics).echo
    if echo:
        amplitude = uniform(rngs, echo.amplitude)
        delay = uniform(rngs, echo.delay) * physics.sps
        turns = uniform(rngs, (0, 1))
        response = impairments.echo_response(frequency, amplitude, delay, turns)
        block = np.fft.ifft(np.fft.fft(block) * response)
    return block


def multipath_response(
    frequency: np.ndarray, settings: MultipathSettings, *, rng: np.random.Generator
) -> np.ndarray:
    """Frequency response of one static Rician channel (Proakis & Salehi, 13.1).

    The direct path has no delay. The scattered paths are Rayleigh, equal in mean power, with
    exponentially distributed delays: that is an exponential power delay profile.

    Args:
        frequency: cycles a sample.
        settings: the power of the direct path, and the scattered ones.
        rng: draws gains and delays.

    Returns:
        complex128, shaped like `frequency`, of unit mean power.
    """
    scattered_power = 1 / (1 + 10 ** (settings.k_factor_db / 10))
    gains = complex_normal(settings.paths, rng=rng) * np.sqrt(scattered_power / settings.paths)
    delays = rng.exponential(settings.delay_spread, settings.paths)

    rotation = -2j * np.pi * delays[:, None]
    scattered = gains[:, None] * np.exp(rotation * frequency)  # (paths, frequency)
    return np.sqrt(1 - scattered_power) + scattered.sum(axis=0)


def sampled(block: np.ndarray, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 3: the middle of blocks (batch, length), (batch, samples + 2 margin).

    The clock is right in the middle of the frame. A positive offset is a symbol clock that is fast.
    """
    samples = physics.samples + 2 * margin(physics)
    start = (block.shape[-1] - samples) // 2
    drift_ppm = asked(physics).clock_drift_ppm
    if not physics.clock_offset_ppm and drift_ppm is None:
        return block[:, start : start + samples]

    offset = 1e-6 * physics.clock_offset_ppm * draw(rngs, lambda rng: rng.normal())
    drift = 1e-6 * uniform(rngs, drift_ppm) if drift_ppm else 0.0
    time = np.arange(samples) - (samples - 1) / 2
    # The offset changes by `drift` over a frame, and its integral is the time that it gains.
    gained = offset * time + drift * time**2 / (2 * physics.samples)
    return impairments.at_instants(block, start + np.arange(samples) + gained)


def carried(iq: np.ndarray, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 4, on frames (batch, time); the carrier's phase is uniform."""
    phase = draw(rngs, lambda rng: rng.random())
    offset = physics.carrier_offset_std * draw(rngs, lambda rng: rng.normal())
    turns = phase + offset * np.arange(iq.shape[-1])
    iq = iq * np.exp(2j * np.pi * turns)

    linewidth = asked(physics).phase_noise
    if linewidth:
        steps = np.stack([rng.normal(size=iq.shape[-1]) for rng in rngs])
        iq = impairments.phase_noise(iq, steps, uniform(rngs, linewidth))

    power = np.mean(np.abs(iq) ** 2, axis=-1, keepdims=True)
    return iq / np.sqrt(power)


def disturbed(clean: np.ndarray, snr_db: float, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 5: frames plus interference and white Gaussian noise.

    Args:
        clean: complex128 (batch, time) of unit power.
        snr_db: power of `clean` over that of the noise in the whole band.
        physics: what interferes.
        rngs: one for each frame.

    Returns:
        complex128 (batch, time); without interference it is of unit mean power.
    """
    iq = clean
    for interference in (asked(physics).cochannel, asked(physics).adjacent):
        if interference:
            iq = _interfered(iq, interference, physics, rngs)

    noise_power = 10 ** (-snr_db / 10)
    noise = np.stack([complex_normal(clean.shape[-1], rng=rng) for rng in rngs])
    return (iq + np.sqrt(noise_power) * noise) / np.sqrt(1 + noise_power)


def _interfered(
    iq: np.ndarray, settings: InterferenceSettings, physics: Physics, rngs: Generators
) -> np.ndarray:
    """Frames (batch, time) with QPSK of the same symbol rate and pulse beside them."""
    n_symbols = block_symbols(physics)
    points = constellation("QPSK")
    symbols = np.stack([rng.choice(points, n_symbols) for rng in rngs])
    timing = uniform(rngs, (0, 1))
    response = pulse(physics, rngs)
    block = shape_pulses(symbols, sps=physics.sps, response=response, timing=timing)

    # One period has no seam but where it starts anew, beyond the longest frame.
    interferer = block[:, : iq.shape[-1]]
    level_db = uniform(rngs, settings.level_db)
    offset = uniform(rngs, settings.offset) / physics.sps
    return impairments.add_interference(iq, interferer, level_db, offset)


def received(iq: np.ndarray, physics: Physics, rngs: Generators) -> np.ndarray:
    """Step 6: frames (batch, samples) from what came in, (batch, samples + 2 margin)."""
    if physics.impairments is None:
        return iq
    settings = physics.impairments
    if settings.lowpass:
        iq = impairments.lowpass(iq, uniform(rngs, settings.lowpass))
    iq = iq / impairments.mean_power(iq) ** 0.5

    if settings.iq_imbalance:
        gain_db = uniform(rngs, settings.iq_imbalance.gain_db)
        phase_deg = uniform(rngs, settings.iq_imbalance.phase_deg)
        iq = impairments.iq_imbalance(iq, gain_db, phase_deg)
    if settings.dc_offset_db:
        level_db = uniform(rngs, settings.dc_offset_db)
        iq = impairments.dc_offset(iq, level_db, uniform(rngs, (0, 1)))
    if settings.quantiser:
        low, high = settings.quantiser.bits
        bits = draw(rngs, lambda rng: int(rng.integers(low, high, endpoint=True)))
        iq = impairments.quantise(iq, bits, uniform(rngs, settings.quantiser.loading_db))
    return iq
