"""The instructions of a pickle, checked one by one before an unpickler sees them.

A pickle is a program. What arrays need of it is little: this stream passes on those instructions
alone, and none that would take more time or memory than the bytes that it stands for.
"""

import pickle
import pickletools
import struct
from collections import deque
from typing import BinaryIO

PLAIN = """
    PROTO MARK STOP NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    GLOBAL STACK_GLOBAL REDUCE BUILD SETITEM SETITEMS"""
"""Instructions that are passed on as they are."""
TUPLES = ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE")
DICTS = ("EMPTY_DICT", "DICT")
PASSED_ON = frozenset(PLAIN.split()).union(TUPLES, DICTS)
PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
GETS = ("GET", "BINGET", "LONG_BINGET")
OUT_OF_BAND = ("NEXT_BUFFER", "READONLY_BUFFER")

DICT = "stand-in.dict"
"""The name of what makes an empty dict."""
DICT_CALL = (pickle.GLOBAL, b"stand-in\n", b"dict\n", pickle.EMPTY_TUPLE, pickle.REDUCE)

WIDTH, DEPTH = 16, 2
"""Most things in a tuple, of which the state of a dtype has 8; and tuples in one another, since the
state of an array has its shape. Tuples of tuples take no more bytes than there are levels, and yet
have more ends than anybody can count, or than the stack can follow."""
MOST_INSTRUCTIONS = 2**20
"""An array takes some fifty however long it is."""

_BY_CODE = {op.code.encode("latin1"): op for op in pickletools.opcodes}
_LENGTH_FORMATS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}
"""How the length is written of an argument that begins with it."""


class Refused(Exception):
    """A pickle that asks for more than arrays."""


class CheckedStream:
    """A pickle as a file that an unpickler reads.

    Frames, which are hints for reading ahead, are left out. The memo is numbered anew, since an
    unpickler keeps it as a list as long as its largest index. A dict becomes a call of a stand-in,
    so that no key is hashed.

    Args:
        file: the pickle, at its beginning.
        size: of the file in bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._pending: deque[bytes | memoryview] = deque()
        self._instructions = 0
        self._depths: list[int | None] = []
        """Of each thing on the stack how many tuples it has in one another; None for a mark."""
        self._memo: dict[int, tuple[int, int]] = {}
        """Index in the file -> index in the unpickler, and depth."""

    def read(self, n: int) -> bytes:
        """The next `n` bytes, or what is left of a part: code, length or content."""
        if n == 0:
            return b""
        part = self._next_part()
        if len(part) > n:  # some versions of the unpickler read what is long in pieces
            self._pending.appendleft(memoryview(part)[n:])
            part = part[:n]
        return bytes(part)

    def readline(self) -> bytes:
        """The next line."""
        return bytes(self._next_part())

    def _next_part(self) -> bytes | memoryview:
        while not self._pending:
            self._pending.extend(self._next_instruction())
        return self._pending.popleft()

    def _next_instruction(self) -> tuple[bytes, ...]:
        """The next instruction of the file as what is passed on of it: code, argument in parts."""
        self._instructions += 1
        if self._instructions > MOST_INSTRUCTIONS:
            raise Refused(f"more than {MOST_INSTRUCTIONS} instructions")

        code = self._exactly(1)
        op = _BY_CODE.get(code)
        if op is None:
            raise pickle.UnpicklingError(f"there is no instruction {code!r}")
        if op.name in OUT_OF_BAND:
            raise Refused(
                f"bytes outside of the file ({op.name}; "
                "pickle.dump without buffer_callback keeps them in it)"
            )
        if op.name == "FRAME":
            return self._frame()
        if op.name in PUTS:
            return self._put(self._index(op))
        if op.name in GETS:
            return self._get(self._index(op))
        if op.name not in PASSED_ON:
            raise Refused(f"the instruction {op.name}")

        argument = self._argument(op)
        self._follow(op)
        if op.name == "DICT":
            return pickle.POP_MARK, *DICT_CALL
        return DICT_CALL if op.name == "EMPTY_DICT" else (code, *argument)

    # What is in the file

    def _exactly(self, n: int) -> bytes:
        """So many bytes; it never makes room for more than the file holds."""
        data = self._file.read(min(n, self._size))
        if len(data) < n:
            raise EOFError("it ends too early")
        return data

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it ends within a line")
        return line

    def _argument(self, op: pickletools.OpcodeInfo) -> tuple[bytes, ...]:
        if op.arg is None:
            return ()
        if op.arg.n >= 0:
            return (self._exactly(op.arg.n),)
        if op.arg.n == pickletools.UP_TO_NEWLINE:
            lines = 2 if op.name == "GLOBAL" else 1
            return tuple(self._line() for _ in range(lines))

        length_format = _LENGTH_FORMATS[op.arg.n]
        written = self._exactly(struct.calcsize(length_format))
        (length,) = struct.unpack(length_format, written)
        if length < 0:
            raise pickle.UnpicklingError("a negative length")
        return (written, self._exactly(length)) if length else (written,)

    def _frame(self) -> tuple[bytes, ...]:
        (length,) = struct.unpack("<Q", self._exactly(8))
        if length > self._size - self._file.tell():
            raise EOFError("it ends too early")
        return ()

    # What it does to the stack

    def _follow(self, op: pickletools.OpcodeInfo) -> None:
        """Takes from the stack and puts on it what an instruction does."""
        taken = self._taken(op)
        if op.name == "DICT" and taken:
            raise Refused("a dict of many things at once")
        depth = 0
        if op.name in TUPLES:
            if len(taken) > WIDTH:
                raise Refused(f"a tuple of {len(taken)} things")
            depth = 1 + max(taken, default=0)
            if depth > DEPTH:
                raise Refused("tuples in tuples in tuples")
        is_mark = op.name == "MARK"
        self._depths += [None if is_mark else depth] * len(op.stack_after)

    def _taken(self, op: pickletools.OpcodeInfo) -> list[int]:
        """Depths of the things that an instruction takes, those above the last mark among them."""
        before = list(op.stack_before)
        above_mark: list[int] = []
        if pickletools.markobject in before:
            while (depth := self._pop()) is not None:
                above_mark.append(depth)
            before = before[: before.index(pickletools.markobject)]
        below = [self._pop() for _ in before]
        if None in below:
            raise pickle.UnpicklingError("a mark where a value should be")
        return above_mark + [depth for depth in below if depth is not None]

    def _pop(self) -> int | None:
        if not self._depths:
            raise pickle.UnpicklingError("nothing on the stack")
        return self._depths.pop()

    # The memo

    def _index(self, op: pickletools.OpcodeInfo) -> int:
        if op.name == "MEMOIZE":
            return len(self._memo)
        (written,) = self._argument(op)
        is_text = op.arg is not None and op.arg.n == pickletools.UP_TO_NEWLINE
        return int(written) if is_text else int.from_bytes(written, "little")

    def _put(self, index: int) -> tuple[bytes, ...]:
        depth = self._depths[-1] if self._depths else None
        if depth is None:
            raise pickle.UnpicklingError("nothing to remember")
        known, _ = self._memo.get(index, (len(self._memo), 0))
        self._memo[index] = (known, depth)
        return pickle.LONG_BINPUT, struct.pack("<I", known)

    def _get(self, index: int) -> tuple[bytes, ...]:
        if index not in self._memo:
            raise pickle.UnpicklingError(f"nothing is remembered under {_described(index)}")
        known, depth = self._memo[index]
        self._depths.append(depth)
        return pickle.LONG_BINGET, struct.pack("<I", known)


def _described(index: int) -> str:
    """An index in few letters: Python refuses to write very long numbers."""
    return str(index) if abs(index) < 10**12 else "a very large number"
