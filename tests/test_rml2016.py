"""Pickled arrays are read bit for bit whoever wrote them, and a pickle that wants anything else is
refused before it has it.
"""

import io
import os
import pickle
import re
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.sources import safe_pickle
from pisces.sources.pickle_stream import CheckedStream
from pisces.sources.rml2016 import read, write

ROOT = Path(__file__).parents[1]
SAMPLES = 64
CELLS = (Cell("QPSK", 18), Cell("AM-SSB", -20), Cell("QPSK", -2))


def arrays(*cells: Cell) -> dict[Cell, np.ndarray]:
    """Any bits that are finite numbers, among them every byte: those that text escapes and those
    that it does not.
    """
    bits = generator(1, "test rml2016").integers(
        0, 2**32, (len(cells), 3, 2, SAMPLES), dtype=np.uint32
    )
    return dict(
        zip(
            cells,
            np.where(bits >> 23 & 255 == 255, 0, bits).astype(np.uint32).view(np.float32),
            strict=True,
        )
    )


def save(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def python2_binary(content: dict[Cell, np.ndarray]) -> bytes:
    """What Python 2 wrote with protocol 2, where text and bytes are one type: the opcodes BINSTRING
    (T) and SHORT_BINSTRING (U).
    """

    def short(text: str) -> bytes:
        return b"U" + bytes([len(text)]) + text.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    out = b"\x80\x02}("
    for (name, snr_db), array in content.items():
        payload, shape = array.tobytes(), b"".join(number(n) for n in array.shape)
        out += short(name) + number(snr_db) + b"\x86"
        out += (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
            + short("b")
            + b"\x87R"
        )
        out += b"(K\x01(" + shape + b"tcnumpy\ndtype\n" + short("f4") + b"K\x00K\x01\x87R"
        out += b"(K\x03" + short("<") + b"NNN" + number(-1) + number(-1) + b"K\x00tb\x89"
        out += b"T" + struct.pack("<i", len(payload)) + payload + b"tb"
    return out + b"u."


def python2_text(content: dict[Cell, np.ndarray]) -> bytes:
    """What Python 2 wrote unless told otherwise, protocol 0: lines of text, in which a byte that
    cannot be shown takes four letters.
    """
    lines = ["(d"]
    for (name, snr_db), array in content.items():
        shape = "".join(f"I{n}\n" for n in array.shape)
        lines.append(
            f"(S'{name}'\nI{snr_db}\n"
            "tcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        )
        lines.append(
            f"(I1\n({shape}tcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        )
        lines.append(f"S{repr(array.tobytes())[1:]}\ntbs")
    return "".join(lines).encode() + b"."


def assert_same_bits(found: dict, expected: dict) -> None:
    assert list(found) == sorted(expected)
    for cell, array in found.items():
        assert isinstance(cell, Cell)
        assert (array.dtype, array.shape) == (np.float32, expected[cell].shape)
        assert array.tobytes() == expected[cell].tobytes()


class TestRead:
    @pytest.mark.parametrize("dump", [python2_text, python2_binary])
    def test_what_python_2_wrote(self, tmp_path, dump):
        content = arrays(*CELLS)
        (tmp_path / "x.pkl").write_bytes(dump(content))
        # NumPy, which trusts every pickle, reads the same out of it: these are bytes that Python 2
        # could have written.
        trusted = pickle.loads((tmp_path / "x.pkl").read_bytes(), encoding="latin1")
        assert all(
            np.array_equal(trusted[cell].view(np.uint32), content[cell].view(np.uint32))
            for cell in CELLS
        )
        assert_same_bits(read(tmp_path / "x.pkl"), content)

    @pytest.mark.parametrize("protocol", range(6))
    def test_what_python_3_wrote(self, tmp_path, protocol):
        content = arrays(*CELLS)
        path = save(
            tmp_path / "x.pkl", {tuple(cell): array for cell, array in content.items()}, protocol
        )
        assert_same_bits(read(path), content)

    def test_what_we_wrote_is_the_same_again_and_needs_nothing_of_ours(self, tmp_path):
        content = arrays(*CELLS)
        for name in ("a.pkl", "b.pkl"):
            write(tmp_path / name, content)
        assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()
        assert (tmp_path / "a.pkl").read_bytes()[:2] == b"\x80\x02"
        assert b"pisces" not in (tmp_path / "a.pkl").read_bytes()
        assert_same_bits(read(tmp_path / "a.pkl"), content)
        trusted = pickle.loads((tmp_path / "a.pkl").read_bytes())
        assert {type(key) for key in trusted} == {tuple}
        assert all(trusted[cell].tobytes() == content[cell].tobytes() for cell in CELLS)

    def test_other_orders_of_bytes_and_axes(self, tmp_path):
        (array,) = arrays(CELLS[0]).values()
        content = {
            ("QPSK", 18): array.astype(">f4"),
            ("QPSK", np.int64(0)): np.asfortranarray(array),
            ("BPSK", np.float32(-2)): array,
        }
        found = read(save(tmp_path / "x.pkl", content))
        assert list(found) == [("BPSK", -2), ("QPSK", 0), ("QPSK", 18)]
        assert all(
            np.array_equal(each.astype("<f4").view(np.uint32), array.view(np.uint32))
            for each in found.values()
        )

    def test_large_arrays_are_not_copied(self, tmp_path):
        """They lie on the bytes that were read."""
        (array,) = read(
            save(tmp_path / "x.pkl", {("QPSK", 0): arrays(CELLS[0])[CELLS[0]]})
        ).values()
        while isinstance(array.base, np.ndarray):
            array = array.base
        assert isinstance(array.base, bytes)


def as_protocol_5(content: dict, buffers: list | None = None) -> bytes:
    """What Python 3.14 writes unless told otherwise: bytes of arrays, and a function for each."""
    keep = None if buffers is None else buffers.append
    return pickle.dumps(content, 5, buffer_callback=keep)


class TestProtocol5:
    """Its names stand in NumPy since 2.0; those of NumPy 1 are a letter shorter."""

    @pytest.mark.parametrize("is_writeable", [True, False])
    @pytest.mark.parametrize("package", [b"numpy._core", b"numpy.core"])
    def test_arrays_are_read_bit_for_bit(self, tmp_path, package, is_writeable):
        content = arrays(*CELLS)
        for array in content.values():
            array.flags.writeable = is_writeable
        named = {tuple(cell): array for cell, array in content.items()}
        pickled = as_protocol_5(named)
        assert b"_frombuffer" in pickled

        module = b"\x8c" + bytes([len(package) + 8]) + package + b".numeric"
        other = pickled.replace(b"\x8c\x13numpy._core.numeric", module)
        other = other.replace(b"\x95" + pickled[3:11], b"")  # the frame is of another length now
        (tmp_path / "x.pkl").write_bytes(other)
        assert_same_bits(read(tmp_path / "x.pkl"), content)

    def test_columns_first(self, tmp_path):
        (array,) = arrays(CELLS[0]).values()
        content = {("QPSK", 18): np.asfortranarray(array)}
        (found,) = read(save(tmp_path / "x.pkl", content, 5)).values()
        assert np.array_equal(found.view(np.uint32), array.view(np.uint32))
        assert not found.flags.writeable

    @pytest.mark.parametrize("is_writeable", [True, False])
    def test_arrays_outside_of_the_file_are_refused(self, tmp_path, is_writeable):
        array = arrays(CELLS[0])[CELLS[0]]
        array.flags.writeable = is_writeable
        (tmp_path / "x.pkl").write_bytes(as_protocol_5({("QPSK", 18): array}, buffers=[]))
        with pytest.raises(ValueError, match=r"x.pkl asks for bytes outside of .*NEXT_BUFFER"):
            read(tmp_path / "x.pkl")


class TestLineEnds:
    """A transfer as text turns LF into CRLF."""

    @pytest.mark.parametrize(
        "dump", [python2_text, python2_binary, lambda content: pickle.dumps(content, 0)]
    )
    def test_changed_ones_are_named(self, tmp_path, dump):
        content = {tuple(cell): array for cell, array in arrays(CELLS[0]).items()}
        (tmp_path / "x.pkl").write_bytes(dump(content).replace(b"\n", b"\r\n"))
        with pytest.raises(ValueError, match=r"x.pkl is a pickle whose line ends .* CRLF.*binary"):
            read(tmp_path / "x.pkl")

    @pytest.mark.parametrize("protocol", range(2, 6))
    @pytest.mark.parametrize(
        ("was", "became", "said"), [(b"\n", b"\r\n", "LF to CRLF"), (b"\r\n", b"\n", "CRLF to LF")]
    )
    def test_of_binary_pickles(self, tmp_path, protocol, was, became, said):
        """Numbers of random bits hold every byte about as often."""
        bits = generator(1, "line ends").integers(0, 2**22, (2000, 2, 128), dtype=np.uint32)
        pickled = pickle.dumps({("QPSK", 0): bits.view(np.float32)}, protocol)
        (tmp_path / "x.pkl").write_bytes(pickled.replace(was, became))
        match = rf"x.pkl is a pickle whose line ends were changed from {said}, .*a binary file"
        with pytest.raises(ValueError, match=match):
            read(tmp_path / "x.pkl")

    @pytest.mark.parametrize("protocol", range(2, 6))
    def test_a_pickle_that_is_cut_off_keeps_its_line_ends(self, tmp_path, protocol):
        content = {tuple(cell): array for cell, array in arrays(CELLS[0]).items()}
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol)[:-99])
        with pytest.raises(ValueError, match=r"x.pkl cannot be read as a pickle .*: cut off"):
            read(tmp_path / "x.pkl")


class Planted:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


GOOD = {("QPSK", 0): np.ones((3, 2, SAMPLES), np.float32)}


def test_an_unpickler_may_read_in_pieces():
    """As some versions do, where a length is large."""
    content = pickle.dumps(GOOD, 4)
    whole, pieces = (CheckedStream(io.BytesIO(content), len(content)) for _ in range(2))
    array = GOOD["QPSK", 0].tobytes()
    while (part := whole.read(10**9)) != array:
        assert b"".join(pieces.read(1) for _ in part) == part
    assert b"".join(pieces.read(100) for _ in range(-(-len(array) // 100))) == array


class TestHostile:
    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("where", ["root", "key", "value", "beside"])
    @pytest.mark.parametrize(
        ("function", "argument", "name"),
        [
            (os.system, "touch {0}", "(posix|nt).system"),
            (eval, "open({0!r}, 'w')", "(__builtin__|builtins).eval"),
            (os.mkdir, "{0}", "(posix|nt).mkdir"),
            (np.memmap, "{0}", "numpy.memmap"),
        ],
    )
    def test_code_is_refused_before_it_runs(
        self, tmp_path, function, argument, name, where, protocol
    ):
        done = tmp_path / "done"
        planted = Planted(
            function,
            argument.format(str(done)),
            *(["u1", "w+", 0, 8] if function is np.memmap else []),
        )
        content = {
            "root": planted,
            "key": GOOD | {(planted, 0): 1},
            "value": {("QPSK", 2): planted} | GOOD,
            "beside": {("QPSK", 2): (planted, *GOOD.values())},
        }[where]
        path = save(tmp_path / "x.pkl", content, protocol)
        with pytest.raises(
            ValueError,
            match=rf"x.pkl asks for {name}, and only NumPy arrays are read .*; RML2016.10a",
        ):
            read(path)
        assert not done.exists()

    def test_the_same_pickles_would_have_run(self, tmp_path):
        """Otherwise the test above shows nothing."""
        pickle.loads(pickle.dumps(Planted(os.mkdir, str(tmp_path / "done"))))
        assert (tmp_path / "done").exists()

    @pytest.mark.parametrize(
        ("module", "name"),
        [
            ("os", "system"),
            ("numpy", "load"),
            ("numpy", "array"),
            ("numpy.core.multiarray", "fromfile"),
            ("numpy._core.numeric", "fromfile"),
            ("numpy", "core.multiarray.fromfile"),
            ("numpy.ndarray", "tofile"),
            ("_codecs", "decode"),
            ("pisces.sources.safe_pickle", "PickledArray"),
            ("collections", "OrderedDict"),
            ("a_module_that_does_not_exist", "f"),
        ],
    )
    def test_names_that_arrays_do_not_need(self, tmp_path, module, name):
        """To be looked up is enough, and a module is not even imported."""
        (tmp_path / "x.pkl").write_bytes(f"c{module}\n{name}\n.".encode())
        with pytest.raises(ValueError, match=rf"x.pkl asks for {module}.{name}, and only"):
            read(tmp_path / "x.pkl")
        (tmp_path / "x.pkl").write_bytes(
            b"\x80\x04"
            + b"".join(b"\x8c" + bytes([len(x)]) + x.encode() for x in (module, name))
            + b"\x93."
        )
        with pytest.raises(ValueError, match=rf"x.pkl asks for {module}.{name}, and only"):
            read(tmp_path / "x.pkl")

    @pytest.mark.parametrize(
        ("pickled", "message"),
        [
            (b"c_codecs\nencode\n(Vx\nVidna\ntR.", "asks for the encoding 'idna'"),
            (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "asks for an array of type 'O8'"),
            (b"cnumpy\ndtype\n((S'a'\nS'O'\nttR.", r"asks for an array of type \('a', 'O'\)"),
            (
                b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'f4'\ntRS'abc'\ntR.",
                r"cannot be read as .*\(ValueError: buffer size",
            ),
            (b"cnumpy\nndarray\n(I99999999999999\ntR.", "holds an array;"),
            (b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'>>'\ntb.", "asks for the byte order '>>'"),
            (b"\x80\x04\x8c\x04\n\xed\xa0\x80\x8c\x01x\x93.", r"asks for \\n\\ud800.x, and only"),
            (b"Pfile\n.", "asks for the instruction PERSID"),
            (b"(lp0\n.", "asks for the instruction LIST"),
            (b"cnumpy\nndarray\n)\x81.", "asks for the instruction NEWOBJ"),
            (
                b"cnumpy\nndarray\nS'abc'\nR.",
                r"cannot be read as .*\(TypeError: argument list must be a tuple",
            ),
            (b"K\x01)R.", r"cannot be read as .*\(TypeError: 'int' object is not callable"),
            # BUILD (b) with a pair of states sets attributes of whatever has no __setstate__.
            (
                b"cnumpy\nndarray\n(N(dVarray\nVchanged\nstb.",
                "asks for a state for a function or a class",
            ),
            (
                b"cnumpy\ndtype\n(N(dVarray\nVchanged\nstb.",
                "asks for a state for a function or a class",
            ),
            (
                b"cnumpy.core.multiarray\nscalar\n(N(dVarray\nVchanged\nstb.",
                "asks for a state for a function or a class",
            ),
            (
                b"c_codecs\nencode\n(N(dVarray\nVchanged\nstb.",
                "asks for a state for a function or a class",
            ),
            (
                b"c_codecs\nencode\n(Vx\nVlatin1\ntR(N(dVarray\nVchanged\nstb.",
                r"cannot be read as .*\(UnpicklingError: slot state is not a dictionary",
            ),
        ],
    )
    def test_what_is_admitted_takes_only_what_arrays_need(self, tmp_path, pickled, message):
        before = {stand_in: dict(vars(stand_in)) for stand_in in safe_pickle.ADMITTED.values()}
        (tmp_path / "x.pkl").write_bytes(pickled)
        with pytest.raises(ValueError, match=rf"x.pkl {message}.*RML2016.10a is a dict of"):
            read(tmp_path / "x.pkl")
        assert {
            stand_in: dict(vars(stand_in)) for stand_in in safe_pickle.ADMITTED.values()
        } == before


DOUBLED = b"q\x00h\x00\x86" * 27
"""t = (t, t) again and again: 2^27 ends in 135 bytes."""
LONG = b"I0x" + b"f" * 5000 + b"\n"
"""A number that Python reads, and refuses to write."""
EARLY = r"cannot be read .*\(EOFError: it ends too early"
READER = """
import os, resource, signal, sys
from pathlib import Path
from pisces.sources import rml2016

def read(path):
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    signal.alarm(20)
    try:
        print(*rml2016.read(Path(path)))
    except ValueError as error:
        print(error)

for line in sys.stdin:
    path = line.strip()
    child = os.fork()
    if child == 0:
        output = os.open(path + ".output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        read(path)
        sys.stdout.flush()
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Reads each file that it is given a path of in a process of its own, with 2 GiB and 20 s."""


@pytest.fixture(scope="module")
def reader() -> Iterator[subprocess.Popen[str]]:
    """One process that has done the imports, from which all others are forked."""
    threads = {"OMP_NUM_THREADS": "1"}  # NumPy reserves room for each
    process = subprocess.Popen(
        [sys.executable, "-c", READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | threads,
    )
    with process:
        yield process


def reading(reader: subprocess.Popen[str], path: Path, content: bytes) -> str:
    """The one line that `read` ends with, whatever is in the file."""
    path.write_bytes(content)
    print(path, file=reader.stdin, flush=True)
    status = reader.stdout.readline()
    output = Path(f"{path}.output").read_text()
    assert (status, output.count("\n")) == ("0\n", 1), output
    assert len(output) < 600
    return output


class TestBombs:
    """A few bytes that stand for endless work, memory or recursion."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            pytest.param(
                b"}K\x00" + b"\x85" * 3_000_000 + b"K\x01s.",
                "asks for tuples in tuples in tuples",
                id="deep key",
            ),
            pytest.param(
                b"}K\x00" + DOUBLED + b"K\x01s.",
                "asks for tuples in tuples in tuples",
                id="doubled key",
            ),
            pytest.param(
                b"K\x00" + DOUBLED + b".", "asks for tuples in tuples in tuples", id="doubled root"
            ),
            pytest.param(
                b"K\x00" + b"K\x01\x86" * 3300 + b".",
                "asks for tuples in tuples in tuples",
                id="pairs",
            ),
            pytest.param(
                b"(" * 3300 + b"t" * 3300 + b".", "asks for tuples in tuples in tuples", id="marks"
            ),
            pytest.param(
                b"}" + b"K\x00}" * 300_000 + b"s" * 300_000 + b".",
                "holds the key 0; ",
                id="deep dicts",
            ),
            pytest.param(b"(" + b"N" * 17 + b"t.", "asks for a tuple of 17 things", id="wide"),
            pytest.param(
                b"\x8b" + struct.pack("<i", 5000) + b"\x01" * 5000 + b".",
                "asks for the instruction LONG4",
                id="long binary",
            ),
            pytest.param(LONG + b".", "holds a number of 20000 bits; ", id="long root"),
            pytest.param(
                b"}S'QPSK'\n" + LONG + b"\x86Ns.",
                r"holds the key \('QPSK', a number of 20000 bits\); SNRs",
                id="long SNR",
            ),
            pytest.param(
                b"I" + b"9" * 5000 + b"\n.",
                r"cannot be read .*\(ValueError: could not convert string",
                id="long line",
            ),
            pytest.param(
                b"V"
                + b"x" * 2**20
                + b"\nq\x00c_codecs\nencode\nq\x01Vlatin1\nq\x02"
                + b"h\x01h\x00h\x02\x86R" * 3000
                + b".",
                "asks for more bytes than are in it",
                id="the same text",
            ),
            pytest.param(
                b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", EARLY, id="long frame"
            ),
            pytest.param(b"\x8e" + struct.pack("<Q", 2**40) + b"N.", EARLY, id="long bytes"),
        ],
    )
    def test_refused(self, reader, tmp_path, content, message):
        assert re.match(rf"\S*x.pkl {message}", reading(reader, tmp_path / "x.pkl", content))

    def test_keys_whose_hashes_collide_cost_nothing(self, reader, tmp_path):
        """A dict of Python's would compare each key with all others."""
        keys = [n * (2**61 - 1) for n in range(1, 40_000)]
        assert len({hash(key) for key in keys}) == 1
        items = b"".join(pickle.dumps(key, 2)[2:-1] + b"N" for key in keys)
        output = reading(reader, tmp_path / "x.pkl", b"\x80\x02}(" + items + b"u.")
        assert "x.pkl holds the key a number of 61 bits; " in output

    def test_work_is_bounded(self, reader, tmp_path):
        output = reading(reader, tmp_path / "x.pkl", b"N0" * 2**22 + b"N.")
        assert "x.pkl asks for the instruction POP" in output
        output = reading(reader, tmp_path / "x.pkl", b"N" * 2**22 + b".")
        assert "x.pkl asks for more than 1048576 instructions" in output

    @pytest.mark.parametrize("index", [2**27, 2**32 - 1])
    def test_a_large_index_costs_nothing(self, reader, tmp_path, index):
        """A memo is no list of this length."""
        content = b"}r" + struct.pack("<I", index) + pickle.dumps(GOOD, 2)[3:]
        output = reading(reader, tmp_path / "x.pkl", content)
        assert output == "Cell(modulation='QPSK', snr_db=0)\n"


class TestDamaged:
    @pytest.mark.parametrize(
        "dump", [python2_text, python2_binary, lambda content: pickle.dumps(content, 4)]
    )
    def test_cut_off(self, tmp_path, dump):
        whole = dump(arrays(CELLS[0]))
        path = tmp_path / "x.pkl"
        for size in [*range(0, len(whole), 97), len(whole) - 1]:
            path.write_bytes(whole[:size])
            with pytest.raises(
                ValueError,
                match=r"x.pkl cannot be read as a pickle .* cut off, or not .*download it again",
            ):
                read(path)

    @pytest.mark.parametrize(
        "content", [b"\x89HDF\r\n\x1a\n" + bytes(2000), b"Z" * 999, b"[1, 2]\n", "größer".encode()]
    )
    def test_no_pickle(self, tmp_path, content):
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"x.pkl cannot be read as a pickle of arrays: .*\(\w+Error: "
        ):
            read(tmp_path / "x.pkl")

    def test_no_such_file(self, tmp_path):
        with pytest.raises(
            FileNotFoundError,
            match=r"x.pkl is not a file; set data.path",
        ):
            read(tmp_path / "x.pkl")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1, 2], "asks for the instruction EMPTY_LIST, and only NumPy arrays"),
            ((1, (2, 3)), r"holds \(1, a tuple\); RML2016.10a is a dict"),
            ({}, "holds an empty dict; RML2016.10a is a dict"),
            (np.ones((3, 2, 128), np.float32), "holds an array; RML2016.10a is a dict"),
            ({"QPSK": GOOD["QPSK", 0]}, "holds the key 'QPSK'; RML2016.10a is a dict"),
            ({("QPSK", "0"): GOOD["QPSK", 0]}, r"holds the key \('QPSK', '0'\)"),
            ({("QPSK", 0.5): GOOD["QPSK", 0]}, r"holds the key \('QPSK', 0.5\)"),
            ({("QPSK", True): GOOD["QPSK", 0]}, r"holds the key \('QPSK', True\)"),
            ({(0, "QPSK"): GOOD["QPSK", 0]}, r"holds the key \(0, 'QPSK'\)"),
            ({("QPSK", 0, 1): GOOD["QPSK", 0]}, "holds the key an object of type tuple"),
            (
                {("QAM", 0): GOOD["QPSK", 0]},
                "holds the modulation 'QAM'; known are OOK, 4ASK.*QAM64, WBFM",
            ),
            ({("QPSK", 0): 1.0}, r"holds 1.0 under \('QPSK', 0\)"),
            ({("QPSK", 0): GOOD}, r"holds a dict under \('QPSK', 0\)"),
            (
                {("QPSK", -1001): GOOD["QPSK", 0]},
                r"holds the key \('QPSK', -1001\); SNRs are from -1000 to 1000 dB",
            ),
            (GOOD | {(b"QPSK", 0): GOOD["QPSK", 0]}, r"holds the key \('QPSK', 0\) twice"),
            (
                {("QPSK", 0): GOOD["QPSK", 0].transpose(0, 2, 1)},
                r"holds an array of shape \(3, 64, 2\) under \('QPSK', 0\)",
            ),
            ({("QPSK", 0): GOOD["QPSK", 0][0]}, r"holds an array of shape \(2, 64\)"),
            ({("QPSK", 0): GOOD["QPSK", 0][:0]}, r"holds an array of shape \(0, 2, 64\)"),
            ({("QPSK", 0): GOOD["QPSK", 0].astype(int)}, "holds an array of type int64"),
            ({("QPSK", 0): GOOD["QPSK", 0].astype(complex)}, "asks for an array of type 'c16'"),
            ({("QPSK", 0): GOOD["QPSK", 0].astype(object)}, "asks for an array of type 'O8'"),
            (
                {("QPSK", np.float32(0.5)): GOOD["QPSK", 0]},
                "asks for the number 0.5 instead of a whole one",
            ),
            (
                GOOD | {("QPSK", 2): GOOD["QPSK", 0][..., :62]},
                "holds frames of 62 and 64 samples; all must have the same number",
            ),
        ],
    )
    def test_foreign_content(self, tmp_path, content, message):
        path = save(tmp_path / "x.pkl", content, 4)
        with pytest.raises(ValueError, match=rf"x.pkl {message}") as raised:
            read(path)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 600

    def test_subclass_of_dict(self, tmp_path):
        with pytest.raises(ValueError, match=r"x.pkl asks for collections.OrderedDict, and only"):
            read(save(tmp_path / "x.pkl", OrderedDict(GOOD)))


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "x.pkl", {CELLS[0]: (object() for _ in range(2))})
    assert list(tmp_path.iterdir()) == []
