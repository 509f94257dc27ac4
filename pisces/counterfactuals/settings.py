"""Which frames are turned to which rivals: the section `counterfactual` of params.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pisces.core.modulations import LINEAR, NAMES
from pisces.inputs.settings import OtherViews

RUNNER_UP = "runner_up"
"""In place of a rival: of the other classes with constellation points the one that the model finds
likeliest, frame by frame."""
TO = " to "

USUAL = (
    "64QAM to 256QAM",
    "16QAM to 64QAM",
    "16PSK to 32PSK",
    "BPSK to QPSK",
    "QPSK to 8PSK",
    "8PSK to QPSK",
)
"""Pairs where none are named, as far as the data have both classes."""


@dataclass(frozen=True)
class CounterfactualSettings:
    """Of the stage `counterfactual`."""

    pairs: tuple[str, ...] | None  # "class to rival"; None: `USUAL`
    snrs_db: tuple[int, ...] | None  # labels; None: all
    frames_per_cell: int  # test frames of each class of a pair and SNR
    methods: tuple[str, ...]  # attributions whose order is tried
    other_views: OtherViews


class Pair(NamedTuple):
    """A class, and what its frames are turned to."""

    name: str
    rival: str

    def __str__(self) -> str:
        return self.name + TO + self.rival


def has_points(modulation: str) -> bool:
    """Whether one sample a symbol shows a constellation; I and Q of OQPSK lie half a symbol apart.

    >>> has_points("QPSK"), has_points("OQPSK"), has_points("FM")
    (True, False, False)
    """
    return modulation in LINEAR and modulation != "OQPSK"


def pairs_of(named: Sequence[str] | None, modulations: Sequence[str]) -> tuple[Pair, ...]:
    """The pairs that are named, or the usual ones of these classes.

    Args:
        named: `counterfactual.pairs`, None for the usual ones.
        modulations: classes of the data.

    Returns:
        Each class with its rival, which may be `RUNNER_UP`.

    Raises:
        ValueError: for a pair that cannot be measured, whatever the frames.

    >>> pairs_of(None, ("BPSK", "QPSK", "FM"))
    (Pair(name='BPSK', rival='QPSK'),)
    """
    if named is None:
        usual = [_split(one) for one in USUAL]
        return tuple(pair for pair in usual if {*pair} <= {*modulations})

    pairs = tuple(_split(one) for one in named)
    for pair in pairs:
        _check(pair, modulations)
        if pairs.count(pair) > 1:
            twice = f"{pair.name} to {pair.rival}"
            raise ValueError(f"counterfactual.pairs names {twice} more than once; name it once")
    return pairs


def numbers_of(labels: Sequence[int] | None, known: Sequence[int]) -> list[int]:
    """Numbers of SNR labels among those of the data; None: all.

    Raises:
        ValueError: for a label that the data lack.
    """
    if labels is None:
        return list(range(len(known)))
    missing = [label for label in labels if label not in known]
    if missing:
        raise ValueError(
            f"counterfactual.snrs_db has {', '.join(map(str, missing))}, which the data lack; "
            f"name some of {', '.join(map(str, known))}, or leave it empty for all"
        )
    return [known.index(label) for label in labels]


def _split(text: str) -> Pair:
    name, to, rival = (part.strip() for part in text.partition(TO))
    if not (name and to and rival):
        raise ValueError(
            f"counterfactual.pairs has {text!r}, which names no class and rival; "
            f'write it as "QPSK to 8PSK" or "QPSK to {RUNNER_UP}"'
        )
    return Pair(name, rival)


def _check(pair: Pair, modulations: Sequence[str]) -> None:
    if pair.name == pair.rival:
        raise ValueError(
            f"counterfactual.pairs has {str(pair)!r}: the rival is the class itself, which nothing "
            "has to turn to; name another rival"
        )
    for name in pair:
        if name == RUNNER_UP and name == pair.rival:
            continue
        if name in (*NAMES, *modulations) and not has_points(name):
            raise ValueError(
                f"counterfactual.pairs has {str(pair)!r}, but {name} has no constellation points, "
                "one sample a symbol: there is nothing to draw a symbol from; leave it out"
            )
        if name not in modulations:
            raise ValueError(
                f"counterfactual.pairs has {str(pair)!r}, but {name} is no class of the data, "
                f"which are {', '.join(modulations)}; name one of these"
            )
