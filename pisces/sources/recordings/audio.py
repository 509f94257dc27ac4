"""Reader of WAV, RF64, FLAC, OGG and the like: stereo is I and Q, mono a real pass band."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pisces.core.texts import in_one_line
from pisces.sources.recordings import wav_header
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.samples import checked

SIGNATURES = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"fLaC",
    b"OggS",
    b"FORM",
    b".snd",
    b"riff\x2e\x91\xcf\x11",
)
ENDINGS = (".wav", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".aif", ".aiff", ".au")


def is_audio(path: Path, head: bytes, _options: Options) -> bool:
    """Whether a file is audio, by its beginning or its ending."""
    return head.startswith(SIGNATURES) or path.suffix.lower() in ENDINGS


def open_audio(path: Path, options: Options) -> list[Recording]:
    """The recording of a mono or stereo file; of more channels, one for each two.

    Raises:
        ValueError: when it is damaged, cut off, or three channels or the like leave one over.
    """
    wav_header.require_whole(path)
    rate_hz, channels, count = _shape(path)
    if count == 0:
        raise ValueError(f"{path} holds no samples: record or copy it again")
    if channels > 2 and channels % 2:
        raise ValueError(
            f"{path} has {channels} channels; one is a real signal, two are I and Q, an even "
            "number are pairs of them: write the channels that you mean into a file of their own"
        )

    signals = max(1, channels // 2)
    found = []
    for signal in range(signals):
        recording = Recording(
            path=path,
            name=path.name + (f"[channel {signal}]" if signals > 1 else ""),
            count=count,
            sample_rate_hz=options.sample_rate_hz or float(rate_hz),
            center_hz=0.0,
            annotations=(),
            frame_length=None,
            samples_per_symbol=None,
            read=_reader(path, count, channels, signal),
            metadata=None,
        )
        found.append(recording)
    return found


def _shape(path: Path) -> tuple[int, int, int]:
    """Sample rate in hertz, channels, and samples of each."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return file.samplerate, file.channels, file.frames
    except (soundfile.LibsndfileError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as audio: {_reason(error)}; copy it again, or give raw samples "
            "with --datatype"
        ) from None


def _reader(path: Path, count: int, channels: int, signal: int) -> Callable[[int, int], np.ndarray]:
    """Reads one signal of a file by seeking, which opens it for each piece."""
    import soundfile

    def read(start: int, wanted: int) -> np.ndarray:
        try:
            with soundfile.SoundFile(path) as file:
                file.seek(start)
                samples = file.read(wanted, "float32", always_2d=True)  # (wanted, channels)
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{path} cannot be read at sample {start}: {_reason(error)}; copy it again"
            ) from None
        if len(samples) < wanted:
            raise ValueError(
                f"{path} is cut off or damaged at sample {start + len(samples)} of {count}: copy "
                "it again"
            )
        if channels == 1:
            return samples[:, 0]
        pair = samples[:, 2 * signal : 2 * signal + 2]
        return np.ascontiguousarray(pair).view(np.complex64)[:, 0]

    return checked(read, count, str(path), is_complex=channels > 1)


def _reason(error: Exception) -> str:
    """What libsndfile says, without the name of the file before it."""
    return in_one_line(getattr(error, "error_string", error)).rstrip(".")
