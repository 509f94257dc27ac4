"""Kinds of values that the sections of params.yaml share, each with its unit and its check.

The docstring of a check is what the reference page prints as the range of a key.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from pisces.core.apsk import RINGS, rings
from pisces.core.modulations import NAMES, OWN_NAME
from pisces.core.settings import from_json
from pisces.inputs.settings import ViewName

T = TypeVar("T")


class Section(BaseModel):
    """A section of params.yaml: frozen, without defaults, and strict about names and types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def to(self, kind: type[T]) -> T:
        """The library's own settings, a dataclass with the same fields, nested ones included."""
        return from_json(kind, self.model_dump_json())


@dataclass(frozen=True)
class Unit:
    """The unit of a key whose name does not end with it."""

    name: str


def suggestion(name: str, known: Iterable[str]) -> str:
    """The known name that is most like a misspelt one, in words; empty when none is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """names of letters, digits and . _ + -, which no data set has"""
    for name in names:
        if not OWN_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name a class: up to 32 letters, digits and . _ + - can, "
                "a letter or digit first; correct it"
            )
        if name in NAMES:
            raise ValueError(f"{name} is known already and not a class of your own; leave it out")
    return names


def no_repeats(values: tuple) -> tuple:
    """none twice"""
    repeated = sorted(value for value, times in Counter(values).items() if times > 1)
    if repeated:
        raise ValueError(f"{', '.join(map(str, repeated))} stands more than once; name each once")
    return values


def at_most(limit: float, reason: str) -> AfterValidator:
    """A check that a number is not above a limit, which says why there is one."""
    complaint = f"is more than {_plain(limit)}, {reason}; lower it"
    return _refusing(lambda value: value > limit, complaint, f"<= {_plain(limit)}")


def at_least(limit: float, reason: str) -> AfterValidator:
    """A check that a number is not below a limit, which says why there is one."""
    complaint = f"is less than {_plain(limit)}, {reason}; raise it"
    return _refusing(lambda value: value < limit, complaint, f">= {_plain(limit)}")


def _refusing(is_wrong: Callable[[float], bool], complaint: str, allowed: str) -> AfterValidator:
    """A check of a number.

    Args:
        is_wrong: whether a number is refused.
        complaint: what is said then.
        allowed: what is allowed, for the reference.
    """

    def check(value: float) -> float:
        if is_wrong(value):
            raise ValueError(complaint)
        return value

    check.__doc__ = allowed
    return AfterValidator(check)


def no_longer(limit: int, reason: str) -> AfterValidator:
    """A check that a list has no more values than a limit, which says why there is one."""

    def check(values: tuple) -> tuple:
        if len(values) > limit:
            raise ValueError(f"has {len(values)} values, more than {limit}, {reason}; shorten it")
        return values

    check.__doc__ = f"at most {limit}"
    return AfterValidator(check)


def _plain(limit: float) -> str:
    """A limit as a person writes it: 1e6 as 1000000."""
    return str(int(limit)) if limit == int(limit) else f"{limit:g}"


def several(values: tuple) -> tuple:
    """2 or more"""
    if len(values) < 2:
        raise ValueError("a classifier needs two classes or more; name two or more")
    return values


def increasing(values: tuple) -> tuple:
    """strictly increasing"""
    if list(values) != sorted(set(values)):
        raise ValueError("must be strictly increasing; sort it, each value once")
    return values


def low_first(values: tuple[float, float]) -> tuple[float, float]:
    """low, then high"""
    low, high = values
    if low > high:
        raise ValueError(f"[{low}, {high}] must be a range [low, high]; swap the two")
    return values


def known_rates(rates: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """those of pisces/core/apsk.py, one or more of each APSK"""
    if rates.keys() != RINGS.keys():
        raise ValueError(f"names {', '.join(rates)}; name each of {', '.join(RINGS)} once")
    for modulation, named in rates.items():
        if not named:
            raise ValueError(
                f"{modulation} has no code rate; name one or more of {', '.join(RINGS[modulation])}"
            )
        for rate in no_repeats(named):
            rings(modulation, rate)
    return rates


def odd(value: int) -> int:
    """odd"""
    if value % 2 == 0:
        raise ValueError(f"{value} must be odd, so that a window has a middle")
    return value


def even(value: int) -> int:
    """even"""
    if value % 2:
        raise ValueError(f"{value} must be even, so that the I and Q axes fall between pixels")
    return value


def ratio_or_count(value: object) -> int | float:
    """above 0 and below 1, or a whole number from 1 on"""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
    is_ratio = isinstance(value, float) and 0 < value < 1
    if not is_count and not is_ratio:
        raise ValueError(
            "must be a ratio above 0 and below 1, such as 0.8, "
            "or a whole number of frames, such as 600"
        )
    return value  # type: ignore[return-value]


Modulations = Annotated[
    tuple[str, ...],
    AfterValidator(several),
    AfterValidator(no_repeats),
]
OwnClasses = Annotated[
    tuple[str, ...],
    AfterValidator(own_names),
    AfterValidator(no_repeats),
    no_longer(1000, "more than a model of one layer tells apart"),
]

MOST = 10**9
"""Of anything that is counted: far more than any file holds or any machine computes."""
_UNCOUNTED = at_most(MOST, "more than any file holds or any machine computes")

SnrDb = Annotated[int, Field(ge=-200, le=200)]
SnrsDb = Annotated[
    tuple[SnrDb, ...],
    AfterValidator(several),
    AfterValidator(increasing),
]
Views = Annotated[tuple[ViewName, ...], Field(min_length=1), AfterValidator(no_repeats)]

ApskRates = Annotated[dict[str, tuple[str, ...]], AfterValidator(known_rates)]

Share = Annotated[int | float, PlainValidator(ratio_or_count)]
"""600 and 600.0 differ: only the former is a number of frames."""

Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0), at_most(2**63 - 1, "the largest number of 64 bits")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
SideShare = Annotated[float, Field(gt=0, le=1), Unit("side of the image")]

Count = Annotated[int, Field(gt=0), _UNCOUNTED]
FromZero = Annotated[int, Field(ge=0), _UNCOUNTED]
Frames = Annotated[int, Field(gt=0), _UNCOUNTED, Unit("frames")]

_NO_END = at_most(10**6, "which no training ends")
Epochs = Annotated[int, Field(gt=0), _NO_END, Unit("epochs")]
EpochsFromZero = Annotated[int, Field(ge=0), _NO_END, Unit("epochs")]

Resamples = Annotated[
    int, Field(gt=0), at_most(10**6, "which no longer changes a printed digit of an interval")
]
Levels = Annotated[
    tuple[Percent, ...],
    AfterValidator(increasing),
    no_longer(100, "of which each is a mask, or a point, of its own"),
]
WindowShare = Annotated[
    SideShare, at_least(0.02, "which makes thousands of windows, each with predictions of its own")
]
SamplesPerSymbol = Annotated[int, Field(ge=2, le=64), Unit("samples a symbol")]
CarrierOffset = Annotated[float, Field(ge=0, lt=0.1), Unit("cycles a sample")]


def check_stride(window: float, stride: float) -> None:
    """Raises ValueError for windows that would leave gaps between them."""
    if stride > window:
        raise ValueError(
            f"stride = {stride} leaves gaps between windows of {window}; lower it to at most window"
        )
