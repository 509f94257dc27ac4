"""The physics that most tests generate frames with."""

from dataclasses import replace
from typing import Any

from benchmarks.frames import PHYSICS as TEXTBOOK
from pisces.sources.settings import Physics


def physics(**changes: Any) -> Physics:
    """`TEXTBOOK` with some fields changed."""
    return replace(TEXTBOOK, **changes)
