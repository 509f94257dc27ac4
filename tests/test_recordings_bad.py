"""Files that are no recordings: one line each, with the value, what is allowed, and the remedy."""

import io
import pickle
import stat
import struct
import sys
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from pisces.core.seeding import generator
from pisces.sources.recordings import open_recordings

IQ = np.exp(2j * np.pi * 0.01 * np.arange(500)).astype(np.complex64)


def read_all(path: Path | str, **options: Any) -> None:
    """Reads every sample of every recording in a file."""
    for recording in open_recordings(path, **options):
        for _ in recording.chunks(200):
            pass


def refused(path: Path | str, match: str, **options: Any) -> None:
    """One line that names the file."""
    with pytest.raises(ValueError, match=match) as caught:
        read_all(path, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert Path(path).name in said or "--" in said


@pytest.mark.parametrize(
    "word", ["", "cf", "cf33", "float", "ci16_xe", "ci16 ", "xf32", "cf32,cf32"]
)
def test_a_datatype_that_is_none(tmp_path, word):
    IQ.tofile(tmp_path / "a.bin")
    refused(tmp_path / "a.bin", "is no datatype: it is c or r", datatype=word)


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan"), float("inf"), -float("inf")])
def test_a_sample_rate_that_is_none(tmp_path, rate_hz):
    IQ.tofile(tmp_path / "a.cfile")
    refused(tmp_path / "a.cfile", "a number of hertz above 0", sample_rate_hz=rate_hz)


def test_an_odd_number_of_bytes(tmp_path):
    (tmp_path / "a.cu8").write_bytes(b"12345")
    refused(tmp_path / "a.cu8", "has 5 bytes, no whole number of samples of 2 bytes")


def test_no_datatype(tmp_path):
    IQ.tofile(tmp_path / "a.bin")
    refused(tmp_path / "a.bin", "give --datatype")


@pytest.mark.parametrize("name", ["a.cfile", "a.wav", "a.npy", "a.sigmf-meta", "a.mat", "a.sigmf"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, "is empty")


def test_no_file(tmp_path):
    refused(tmp_path / "absent.wav", "is not there")
    refused(tmp_path, "is a directory")
    refused("/dev/null", "no regular file")


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.cfile"
    IQ.tofile(path)
    path.chmod(0)

    def denied(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # whoever is root may read all the same
    refused(path, "no permission; change that with chmod")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.cfile", "a.npy", "a.wav", "mono.wav"])
def test_samples_that_are_no_numbers_are_counted_and_placed(tmp_path, name, value):
    samples = IQ.copy()
    samples.imag[[317, 319]] = value
    samples.real[319] = value
    pairs = samples.view(np.float32).reshape(-1, 2)
    if name == "a.cfile":
        samples.tofile(tmp_path / name)
    elif name == "a.npy":
        np.save(tmp_path / name, samples)
    else:
        wanted = pairs[:, 1] if name == "mono.wav" else pairs
        soundfile.write(tmp_path / name, wanted, 48_000, "FLOAT")
    refused(tmp_path / name, "holds 2 samples of NaN, infinity .* the first at 317")


def test_numbers_beyond_float32(tmp_path):
    (IQ.astype(np.complex128) * 1e300).tofile(tmp_path / "a.cf64")
    refused(tmp_path / "a.cf64", "beyond float32")


def test_a_range_that_is_not_there(tmp_path):
    IQ.tofile(tmp_path / "a.cfile")
    (recording,) = open_recordings(tmp_path / "a.cfile")
    for start, count in ((-1, 5), (0, 501), (500, 1), (0, -1)):
        with pytest.raises(ValueError, match="holds samples 0 to 499"):
            recording.read(start, count)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    IQ.tofile(tmp_path / "a.cfile")
    (recording,) = open_recordings(tmp_path / "a.cfile")
    IQ[:400].tofile(tmp_path / "a.cfile")
    with pytest.raises(ValueError, match="is cut off: 400 of 800 bytes"):
        recording.read(350, 100)


def wav(data_bytes: int = 400, channels: int = 2, rate_hz: int = 48_000, there: int = 400) -> bytes:
    """A WAV file whose header says what it may not hold."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, 0, 2 * channels, 16)
    data = struct.pack("<4sI", b"data", data_bytes)
    riff_bytes = min(36 + data_bytes, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVE" + fmt + data + bytes(there)


def test_damaged_wav(tmp_path):
    path = tmp_path / "a.wav"
    amiss = [
        (wav(there=390), "is cut off: 390 of 400 bytes"),
        (wav(channels=0), "says 0 channels"),
        (wav(rate_hz=0), "at 0 Hz"),
        (wav()[:30], "cut off"),
        (wav()[:36], "without data"),
        (wav(data_bytes=0, there=0), "holds no samples"),
        (wav(channels=3, data_bytes=600, there=600), "has 3 channels"),
        (b"RIFF" + b"\xff" * 200, "without data, or cut off|cannot be read as audio"),
        (b"not a wav at all" * 9, "cannot be read as audio"),
    ]
    for content, match in amiss:
        path.write_bytes(content)
        refused(path, match)


def test_a_wav_that_leaves_its_size_open_is_read(tmp_path):
    """As programs leave it that write into a pipe, or were stopped."""
    (tmp_path / "a.wav").write_bytes(wav(data_bytes=0xFFFFFFFF))
    (recording,) = open_recordings(tmp_path / "a.wav")
    assert recording.count == 100


def test_cut_off_flac(tmp_path):
    noise = np.random.default_rng(1).normal(scale=0.1, size=(20_000, 2))
    soundfile.write(tmp_path / "a.flac", noise, 48_000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "a.flac", "cut off or damaged|cannot be read")


class Bomb:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("unpickled",))


def test_a_pickle_inside_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    refused(tmp_path / "a.npy", "Python objects as a pickle, which could run code")
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    refused(tmp_path / "a.npy", "cannot be read as .npy")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    refused(tmp_path / "a.pkl", "asks for|holds|names")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((2, 3, 4), np.complex64),
        np.zeros((), np.complex64),
        np.zeros((0,), np.complex64),
        np.zeros((0, 2), np.float32),
        np.zeros(5, bool),
        np.zeros(5, "U3"),
        np.zeros(5, "M8[s]"),
        np.zeros(5, [("i", "f4"), ("q", "f4")]),
    ],
)
def test_arrays_that_are_no_samples(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy", "must be|must hold|no samples")


def npy(shape: str, descr: str = "'<c8'", length: int = 80) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text = header.encode().ljust(length)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        npy("(10000000000000,)") + bytes(800),
        npy("(100,)") + bytes(400),
        npy("(9" + "9" * 60 + ",)", length=200) + bytes(800),
        npy("(-5,)") + bytes(800),
        npy("(100,)", length=60_000) + bytes(800),
        npy("__import__('os')") + bytes(800),
        npy("(100,)", "'junk'") + bytes(800),
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x09" + bytes(100),
    ],
)
def test_headers_of_npy_that_cannot_be_so(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    refused(tmp_path / "a.npy", "cannot be read as .npy")


def test_json_beside_an_array_that_cannot_be_so(tmp_path):
    np.save(tmp_path / "a.npy", IQ)
    for text, match in (("{", "a.json is not JSON"), ('{"sample_rate": 0}', "sample_rate is 0")):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=match):
            open_recordings(tmp_path / "a.npy")


def test_mat_of_several_signals_names_them(tmp_path):
    savemat(tmp_path / "a.mat", {"x": IQ, "y": IQ[:100], "fs": 1e6})
    refused(tmp_path / "a.mat", "several signals, x 1x500, y 1x100")


def test_mat_without_a_signal(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.ones((5, 7)), "note": "text"})
    refused(tmp_path / "a.mat", "no signal but x 5x7")
    savemat(tmp_path / "a.mat", {"object": np.array([{"a": 1}], object)})
    refused(tmp_path / "a.mat", "no numbers")


def test_damaged_mat(tmp_path):
    savemat(tmp_path / "a.mat", {"x": IQ}, do_compression=True)
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[:300])
    refused(tmp_path / "a.mat", "cannot be read as .mat")
    (tmp_path / "a.mat").write_bytes(b"no mat at all" * 20)
    refused(tmp_path / "a.mat", "cannot be read as .mat")


@pytest.mark.parametrize("kind", [0, 8, 10, 14, 127, 0xFF07])
def test_mat_of_a_type_that_is_none(tmp_path, kind):
    """SciPy's reader would end the process."""
    savemat(tmp_path / "a.mat", {"x": IQ})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    at_real_part = content.index(struct.pack("<II", 7, 4 * len(IQ)))
    content[at_real_part : at_real_part + 4] = struct.pack("<I", kind)
    (tmp_path / "a.mat").write_bytes(content)
    refused(tmp_path / "a.mat", f"holds 'x' as type {kind}, which is none")


def write_good(path: Path) -> None:
    """A file of the format that its ending says."""
    pairs = IQ.view(np.float32).reshape(-1, 2)
    if path.suffix == ".npy":
        np.save(path, IQ)
    elif path.suffix == ".mat":
        savemat(path, {"x": IQ, "fs": 1e6}, do_compression=path.stem == "packed")
    elif path.suffix == ".tar":
        about = b'{"global": {"core:datatype": "cf32_le"}, "captures": [], "annotations": []}'
        with tarfile.open(path, "w") as tar:
            for name, content in (("a.sigmf-meta", about), ("a.sigmf-data", IQ.tobytes())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    else:
        soundfile.write(path, pairs, 48_000)


@pytest.mark.parametrize("name", ["a.npy", "a.mat", "packed.mat", "a.tar", "a.wav", "a.flac"])
def test_whatever_is_damaged_is_read_or_refused(tmp_path, name):
    """Bytes are changed, most of them in headers, or the end is missing: no other error."""
    path, rng = tmp_path / name, generator(1, f"damaged {name}")
    write_good(path)
    good = path.read_bytes()
    refusals = []
    for _ in range(60):
        damaged = bytearray(good)
        at = rng.integers(0, min(len(good), 700), size=rng.integers(1, 5))
        for index in at:
            damaged[index] = rng.choice([0, 127, 255, rng.integers(256)])
        stop = len(good) if rng.random() < 0.7 else int(rng.integers(1, len(good)))
        path.write_bytes(damaged[:stop])
        try:
            read_all(path)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all("\n" not in said and name in said for said in refusals)


def test_other_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["iq"] = IQ
    refused(tmp_path / "a.h5", "has no dataset X")
