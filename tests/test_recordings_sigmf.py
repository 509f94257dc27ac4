"""SigMF as other programs write it: pairs, archives, collections, captures and annotations."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
import soundfile

from pisces.core.seeding import generator
from pisces.sources.recordings import Annotation, Recording, open_recordings

COUNT = 4_000
rng = generator(1, "test recordings of SigMF")
IQ = rng.uniform(-0.9, 0.9, COUNT) + 1j * rng.uniform(-0.9, 0.9, COUNT)
CODES = {"f64": "f8", "f32": "f4", "i32": "i4", "u32": "u4", "i16": "i2", "u16": "u2"}
CODES |= {"i8": "i1", "u8": "u1"}
DATATYPES = [
    f"{kind}{component}{order}"
    for kind in "cr"
    for component, code in CODES.items()
    for order in (("_le", "_be") if np.dtype(code).itemsize > 1 else ("",))
]


def stored(values: np.ndarray, datatype: str) -> np.ndarray:
    """Numbers within -1..1 as a datatype stores them, I and Q of complex ones side by side."""
    word, _, order = datatype.partition("_")
    if word[0] == "c":
        values = np.stack([values.real, values.imag], axis=-1)
    dtype = np.dtype((">" if order == "be" else "<") + CODES[word[1:]])
    if dtype.kind != "f":
        half = 2.0 ** (8 * dtype.itemsize - 1)
        values = np.round(values * half) + (half if dtype.kind == "u" else 0)
    return values.astype(dtype)


def write_pair(folder: Path, name: str = "one", data: bytes = b"", **changes: Any) -> Path:
    """Metadata and data as files; `changes` replace sections or add to the global one."""
    sections = {key: changes.pop(key) for key in ("captures", "annotations") if key in changes}
    described = {"core:datatype": "cf32_le", "core:version": "1.2.6", "core:sample_rate": 1e6}
    described |= {f"core:{key}": value for key, value in changes.items()}
    content = {
        "global": described,
        "captures": [{"core:sample_start": 0}],
        "annotations": [],
    } | sections
    path = folder / f"{name}.sigmf-meta"
    path.write_text(json.dumps(content))
    dataset = changes.get("dataset", f"{name}.sigmf-data")
    (folder / dataset).write_bytes(data or stored(IQ, "cf32_le").tobytes())
    return path


def only(path: Path, **options: Any) -> Recording:
    (recording,) = open_recordings(path, **options)
    return recording


def whole(recording: Recording) -> np.ndarray:
    return recording.read(0, recording.count)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_is_read_as_the_library_of_sigmf_reads_it(tmp_path, datatype):
    values = IQ if datatype[0] == "c" else IQ.real
    path = write_pair(tmp_path, data=stored(values, datatype).tobytes(), datatype=datatype)
    expected = sigmf.fromfile(str(path)).read_samples()
    samples = whole(only(path))
    if datatype[0] == "c":
        assert np.allclose(samples, expected, rtol=0, atol=2.0**-23)
    else:
        assert np.allclose(samples.real, expected, rtol=0, atol=2.0**-23)
        # A real signal is made analytic, so that half of its band is empty.
        spectrum = np.abs(np.fft.fft(samples * np.hanning(COUNT))) ** 2
        assert spectrum[2_100:3_900].sum() < 1e-4 * spectrum[100:1_900].sum()


@pytest.mark.parametrize("given", ["one.sigmf-meta", "one.sigmf-data", "one"])
def test_a_pair_is_given_by_either_file_or_its_name(tmp_path, given):
    write_pair(tmp_path)
    recording = only(tmp_path / given)
    assert np.array_equal(whole(recording), IQ.astype(np.complex64))
    assert recording.name == "one.sigmf-data"
    assert recording.sample_rate_hz == 1e6


def test_what_the_library_of_sigmf_writes_is_read(tmp_path):
    """Its checksum among it."""
    written = sigmf.SigMFFile(
        global_info={sigmf.DATATYPE_KEY: "cf32_le", sigmf.SAMPLE_RATE_KEY: 2e6}
    )
    (tmp_path / "lib.sigmf-data").write_bytes(stored(IQ, "cf32_le").tobytes())
    written.set_data_file(tmp_path / "lib.sigmf-data")
    written.add_capture(0, {sigmf.FREQUENCY_KEY: 433.92e6})
    written.add_annotation(100, 50, {sigmf.LABEL_KEY: "OOK"})
    written.tofile(tmp_path / "lib.sigmf-meta")

    recording = only(tmp_path / "lib")
    assert np.array_equal(whole(recording), IQ.astype(np.complex64))
    assert recording.center_hz == 433.92e6
    assert recording.annotations == (Annotation(100, 50, "OOK", None, None, None),)
    assert recording.metadata is not None
    assert "core:sha512" in recording.metadata["global"]


def test_metadata_stay_as_read(tmp_path):
    path = write_pair(tmp_path, description="é", annotations=[{"core:sample_start": 3}])
    assert only(path).metadata == json.loads(path.read_text())


def test_edges_become_baseband(tmp_path):
    at_radio = {"core:freq_lower_edge": 99.8e6, "core:freq_upper_edge": 100.1e6}
    in_baseband = {"core:freq_lower_edge": -2e5, "core:freq_upper_edge": 1e5}
    annotations = [
        {"core:sample_start": 10, "core:sample_count": 20, **at_radio},
        {"core:sample_start": 10, "core:sample_count": 20, **in_baseband},
    ]
    captures = [{"core:sample_start": 0, "core:frequency": 100e6}]
    tuned = only(write_pair(tmp_path, captures=captures, annotations=annotations))
    assert [(one.low_hz, one.high_hz) for one in tuned.annotations] == [(-2e5, 1e5)] * 2

    untuned = only(write_pair(tmp_path, annotations=annotations[1:]))
    assert (untuned.annotations[0].low_hz, untuned.center_hz) == (-2e5, 0)


def test_an_annotation_without_a_length_lasts_to_the_end(tmp_path):
    path = write_pair(tmp_path, annotations=[{"core:sample_start": 10}])
    assert only(path).annotations[0][:2] == (10, COUNT - 10)


@pytest.mark.parametrize(
    "extension",
    [
        {"signal:detail": {"type": "digital", "mod_class": "psk", "symbol_rate": 9600}},
        {"signal:detail": {"baud_rate": 9600.0}},
        {"mine:symbol_rate_hz": 9600},
    ],
)
def test_symbol_rates_of_extensions(tmp_path, extension):
    annotation = {"core:sample_start": 0, "core:sample_count": 5, "core:label": "BPSK"}
    path = write_pair(tmp_path, annotations=[annotation | extension])
    assert only(path).annotations[0].symbol_rate_hz == 9600


def test_an_offset_counts_from_the_first_sample(tmp_path):
    annotation = {"core:sample_start": 1_010, "core:sample_count": 5}
    captures = [{"core:sample_start": 1_000}]
    path = write_pair(tmp_path, offset=1_000, captures=captures, annotations=[annotation])
    recording = only(path)
    assert recording.annotations[0][:2] == (10, 5)
    assert recording.count == COUNT


def test_channels_are_recordings(tmp_path):
    both = np.stack([stored(IQ, "ci16_le"), stored(IQ.conj(), "ci16_le")], axis=1)
    path = write_pair(tmp_path, data=both.tobytes(), datatype="ci16_le", num_channels=2)
    first, second = open_recordings(path)
    assert second.name == "one.sigmf-data[channel 1]"
    assert np.abs(whole(first) - IQ).max() < 2.0**-15
    assert np.abs(whole(second) - IQ.conj()).max() < 2.0**-15


def test_headers_between_captures_are_no_samples(tmp_path):
    samples = stored(IQ, "ci8")
    header, trailer = b"\x7f" * 5, b"\x11" * 3
    data = header + samples[:1_000].tobytes() + header + samples[1_000:].tobytes() + trailer
    captures = [
        {"core:sample_start": 0, "core:header_bytes": 5},
        {"core:sample_start": 1_000, "core:header_bytes": 5},
    ]
    path = write_pair(
        tmp_path,
        data=data,
        datatype="ci8",
        captures=captures,
        trailing_bytes=3,
        dataset="x.dat",
        sha512=hashlib.sha512(data).hexdigest().upper(),
    )
    recording = only(path)
    assert recording.count == COUNT
    assert np.abs(whole(recording) - IQ).max() < 2.0**-7
    assert np.array_equal(recording.read(990, 20), whole(recording)[990:1_010])


def test_each_frequency_is_a_recording(tmp_path):
    captures = [
        {"core:sample_start": 0, "core:frequency": 1e8},
        {"core:sample_start": 500, "core:frequency": 1e8},
        {"core:sample_start": 1_000, "core:frequency": 2e8},
    ]
    across = {"core:sample_start": 900, "core:sample_count": 300, "core:label": "FM"}
    path = write_pair(tmp_path, captures=captures, annotations=[across])
    first, second = open_recordings(path)
    assert [first.center_hz, second.center_hz] == [1e8, 2e8]
    assert [first.first_sample, second.first_sample] == [0, 1_000]
    assert [first.name, second.name] == ["one.sigmf-data[capture 0]", "one.sigmf-data[capture 1]"]
    assert np.array_equal(whole(second), IQ[1_000:].astype(np.complex64))
    assert first.annotations[0][:2] == (900, 100)
    assert second.annotations[0][:2] == (0, 200)


@pytest.mark.parametrize("given", ["capture.dat", "capture.sigmf-meta"])
def test_data_of_another_name_find_their_description(tmp_path, given):
    write_pair(tmp_path, "capture", dataset="capture.dat")
    recording = only(tmp_path / given)
    assert recording.name == "capture.dat"
    assert np.array_equal(whole(recording), IQ.astype(np.complex64))


def test_a_file_that_says_what_it_is_needs_no_description(tmp_path):
    soundfile.write(tmp_path / "a.wav", IQ.real, 48_000, "PCM_16")
    annotations = [{"core:sample_start": 7, "core:sample_count": 9, "core:label": "BPSK"}]
    captures = [{"core:sample_start": 0, "core:header_bytes": 44}]
    write_pair(
        tmp_path,
        "a",
        (tmp_path / "a.wav").read_bytes(),
        datatype="ri16_le",
        dataset="a.wav",
        captures=captures,
        annotations=annotations,
    )
    blind, described = only(tmp_path / "a.wav"), only(tmp_path / "a.sigmf-meta")
    assert blind.annotations == ()
    assert described.annotations[0].label == "BPSK"
    assert np.array_equal(whole(blind), whole(described))


def test_a_datatype_reads_data_without_metadata(tmp_path):
    stored(IQ, "ci16_le").tofile(tmp_path / "alone.sigmf-data")
    recording = only(tmp_path / "alone.sigmf-data", datatype="ci16")
    assert np.abs(whole(recording) - IQ).max() < 2.0**-15


@pytest.mark.parametrize("ending", [".sigmf", ".sigmf.gz", ".sigmf.xz", ".sigmf.zip"])
def test_archives_of_the_library_of_sigmf(tmp_path, ending):
    loose = tmp_path / "loose"
    loose.mkdir()
    write_pair(loose, annotations=[{"core:sample_start": 7, "core:sample_count": 9}])
    sigmf.fromfile(str(loose / "one.sigmf-meta")).archive(str(tmp_path / f"one{ending}"))

    recording = only(tmp_path / f"one{ending}")
    assert recording.name == "one.sigmf-data"
    assert recording.annotations[0][:2] == (7, 9)
    assert np.array_equal(recording.read(3_000, 500), IQ[3_000:3_500].astype(np.complex64))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["loose", f"one{ending}"]


def test_an_archive_of_several_recordings(tmp_path):
    with tarfile.open(tmp_path / "all.sigmf", "w") as tar:
        for name, sign in (("a", 1), ("b", -1)):
            path = write_pair(tmp_path, name, stored(sign * IQ, "cf32_le").tobytes())
            tar.add(path, f"all/{path.name}")
            tar.add(path.with_suffix(".sigmf-data"), f"all/{name}.sigmf-data")
    first, second = open_recordings(tmp_path / "all.sigmf")
    assert [first.name, second.name] == ["a.sigmf-data", "b.sigmf-data"]
    assert np.array_equal(whole(first), -whole(second))


def collection(folder: Path, streams: Any) -> Path:
    path = folder / "both.sigmf-collection"
    content = {"collection": {"core:version": "1.2.6", "core:streams": streams}}
    path.write_text(json.dumps(content))
    return path


def test_a_collection_names_recordings(tmp_path):
    streams = []
    for name in ("b", "a"):
        path = write_pair(tmp_path, name)
        checksum = hashlib.sha512(path.read_bytes()).hexdigest()
        streams.append({"name": name, "hash": checksum})
    found = open_recordings(collection(tmp_path, streams))
    assert [one.name for one in found] == ["b.sigmf-data", "a.sigmf-data"]


def read_all(path: Path | str, **options: Any) -> None:
    """Reads every sample of every recording in a file."""
    for recording in open_recordings(path, **options):
        for _ in recording.chunks(200):
            pass


def refused(path: Path, match: str, **options: Any) -> None:
    """One line that names the file, and says what `match` says."""
    with pytest.raises(ValueError, match=match) as caught:
        read_all(path, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert Path(path).name.split(".")[0] in said


AMISS: dict[str, tuple[dict[str, Any], str]] = {
    "no datatype": ({"datatype": None}, "core:datatype is missing"),
    "wrong datatype": ({"datatype": "cf99"}, "'cf99', which is no datatype"),
    "datatype of another kind": ({"datatype": 32}, "must be a text"),
    "rate of 0": ({"sample_rate": 0}, "core:sample_rate is 0; it must be a number above 0"),
    "negative rate": ({"sample_rate": -1}, "above 0"),
    "NaN rate": ({"sample_rate": float("nan")}, "holds NaN"),
    "rate as a text": ({"sample_rate": "1M"}, "finite number"),
    "huge rate": ({"sample_rate": 10**400}, "finite"),
    "no channel": ({"num_channels": 0}, "core:num_channels is 0"),
    "many channels": ({"num_channels": 10**9}, "at most 1024"),
    "half a channel": ({"num_channels": 1.5}, "whole number"),
    "checksum": ({"sha512": "0" * 128}, "SHA-512 differs"),
    "trailing bytes": ({"trailing_bytes": 10**15}, "as no samples"),
    "odd trailing bytes": ({"trailing_bytes": 3}, "no whole number"),
    "nothing left": ({"trailing_bytes": 8 * COUNT}, "holds no samples"),
    "header": (
        {"captures": [{"core:sample_start": 0, "core:header_bytes": 2**62}]},
        "as no samples",
    ),
    "negative header": (
        {"captures": [{"core:sample_start": 0, "core:header_bytes": -8}]},
        "0 or more",
    ),
    "later capture": (
        {"captures": [{"core:sample_start": 0}, {"core:sample_start": COUNT + 1}]},
        "hold 4000",
    ),
    "order of captures": (
        {"captures": [{"core:sample_start": 9}, {"core:sample_start": 3}]},
        "not in order",
    ),
    "captures of another kind": ({"captures": {"core:sample_start": 0}}, "must be a list"),
    "a capture of another kind": ({"captures": [7]}, "no object"),
    "later annotation": (
        {"annotations": [{"core:sample_start": 3_999, "core:sample_count": 2}]},
        "names samples 3999 to 4000, but the data hold 4000",
    ),
    "negative annotation": ({"annotations": [{"core:sample_start": -1}]}, "0 or more"),
    "edges": (
        {
            "annotations": [
                {
                    "core:sample_start": 0,
                    "core:freq_lower_edge": 5,
                    "core:freq_upper_edge": 4,
                }
            ]
        },
        "swap",
    ),
    "label of another kind": (
        {"annotations": [{"core:sample_start": 0, "core:label": ["BPSK"]}]},
        "must be a text",
    ),
    "data elsewhere": ({"dataset": "../one.dat"}, "outside the folder"),
    "absolute data": ({"dataset": "/etc/passwd"}, "outside the folder"),
}


@pytest.mark.parametrize("what", AMISS)
def test_metadata_that_cannot_be_so(tmp_path, what):
    changes, match = AMISS[what]
    write_pair(tmp_path)
    path = tmp_path / "one.sigmf-meta"
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if key in content:
            content[key] = value
        else:
            content["global"][f"core:{key}"] = value
    path.write_text(json.dumps(content))
    refused(path, match)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "is empty"),
        (b"{", "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no object 'global'"),
        (b'{"global": []}', "no object 'global'"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
        (b"\xff\xfe{", "not JSON"),
    ],
)
def test_metadata_that_are_no_metadata(tmp_path, text, match):
    path = write_pair(tmp_path)
    path.write_bytes(text)
    refused(path, match)


def test_a_million_annotations_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("pisces.sources.recordings.sigmf_metadata.MOST_ANNOTATIONS", 1_000)
    annotations = [{"core:sample_start": 0, "core:sample_count": 1}] * 1_001
    refused(write_pair(tmp_path, annotations=annotations), "1001 annotations; at most 1000")
    assert len(only(write_pair(tmp_path, annotations=annotations[1:])).annotations) == 1_000


def test_half_a_pair(tmp_path):
    path = write_pair(tmp_path)
    (tmp_path / "one.sigmf-data").rename(tmp_path / "kept")
    refused(path, "is not there")
    path.unlink()
    (tmp_path / "kept").rename(tmp_path / "one.sigmf-data")
    refused(tmp_path / "one.sigmf-data", "has no metadata")


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of such members, by the ending of its path."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("ending", [".sigmf", ".sigmf.zip"])
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_an_archive_with_a_path_that_leaves_its_folder(tmp_path, ending, name):
    pair = write_pair(tmp_path)
    data = stored(IQ, "cf32_le").tobytes()
    members = {"one.sigmf-meta": pair.read_bytes(), "one.sigmf-data": data, name: b"x"}
    refused(packed(tmp_path / f"bad{ending}", members), "leaves the folder")


def test_an_archive_with_a_link(tmp_path):
    path = packed(tmp_path / "bad.sigmf", {"one.sigmf-meta": write_pair(tmp_path).read_bytes()})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("one.sigmf-data")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refused(path, "a link or device")


@pytest.mark.parametrize("ending", [".sigmf", ".sigmf.gz", ".sigmf.xz", ".sigmf.zip"])
def test_an_archive_that_is_cut_off(tmp_path, ending):
    loose = tmp_path / "loose"
    loose.mkdir()
    write_pair(loose)
    path = tmp_path / f"one{ending}"
    sigmf.fromfile(str(loose / "one.sigmf-meta")).archive(str(path))
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[: len(whole_file) // 3])
    refused(path, "cannot be read as an archive|cut off|no .sigmf-meta")


def test_archives_without_what_they_need(tmp_path):
    refused(packed(tmp_path / "bad.sigmf", {"readme": b"x"}), "holds no .sigmf-meta")
    members = {"one.sigmf-meta": write_pair(tmp_path).read_bytes()}
    refused(packed(tmp_path / "bad.sigmf", members), "lacks one.sigmf-data")


def test_an_archive_that_would_fill_the_disk(tmp_path, monkeypatch):
    members = {"one.sigmf-meta": write_pair(tmp_path).read_bytes(), "one.sigmf-data": b"x" * 8_000}
    path = packed(tmp_path / "bad.sigmf.zip", members)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    refused(path, "set TMPDIR")


@pytest.mark.parametrize(
    ("streams", "match"),
    [
        ([{"name": "../one"}], "in the folder"),
        ([{"name": "absent"}], "is not there"),
        ([{"name": "one", "hash": "0" * 128}], "SHA-512 differs"),
        ([{}], "name is ''"),
        ([], "names no recordings"),
        (["one"], "no object"),
    ],
)
def test_collections_that_cannot_be_so(tmp_path, streams, match):
    write_pair(tmp_path)
    with pytest.raises(ValueError, match=match):
        open_recordings(collection(tmp_path, streams))
