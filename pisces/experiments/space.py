"""The space of a sweep: which values each param may take, on which condition, and how one is drawn.

Full key of params.yaml -> `Dimension`. A key with a condition is drawn only where the condition
holds; elsewhere it keeps the value of the preset.
"""

import json
import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from pisces.config.fields import Positive, Section

if TYPE_CHECKING:
    import optuna

Values = Annotated[tuple[Any, ...], Field(min_length=1, max_length=1000)]
SCALARS = (bool, int, float, str, type(None))
"""Types that a storage of Optuna holds; other choices travel as JSON."""
MOST_STEPS, LARGEST_WHOLE = 10**9, 2**53
"""Of a range; beyond the second a float holds no longer every whole number."""
MOST_VALUES = 100_000
"""Of a dimension that are listed."""
ALL_TRIED, BETWEEN = 50, 8
"""Values of a range with steps up to which all are tried; else so many between its ends."""


class Dimension(Section):
    """The values that one param may take: `choices`, or a range `from` .. `to`."""

    choices: Values | None = None
    """Values of any type that the param takes, lists and mappings among them."""
    low: Annotated[float | None, Field(alias="from")] = None
    """Least value of a range."""
    high: Annotated[float | None, Field(alias="to")] = None
    """Greatest value of a range; it may be drawn, too."""
    log: bool = False
    """Whether the logarithm is uniform, and not the value."""
    step: Positive | None = None
    """Distance of the values of a range, counted from `from`; null: all numbers between, and of
    whole numbers each."""
    whole: Annotated[bool, Field(alias="int")] = False
    """Whether only whole numbers are drawn."""
    when: dict[str, Values] | None = None
    """Other keys of the space and the values of each with which this one is drawn; null: always.
    All of them must hold."""

    @model_validator(mode="after")
    def _is_choices_or_range(self) -> Self:
        if self.choices is None:
            _check_range(self)
            return self
        if self.low is not None or self.high is not None:
            raise ValueError("has both choices and a range; leave out choices, or from and to")
        if self.log or self.step is not None or self.whole:
            raise ValueError("has choices, which take no log, step or int; leave those out")
        for place, value in enumerate(self.choices):
            if value in self.choices[:place]:
                raise ValueError(f"choices names {json.dumps(value)} twice; name it once")
        return self

    @model_validator(mode="after")
    def _conditions_are_some(self) -> Self:
        if self.when is not None and not self.when:
            raise ValueError("when is empty; name a key of the space, or leave when out")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of a range."""
        assert self.low is not None, "choices have no ends"
        assert self.high is not None, "choices have no ends"
        return self.low, self.high

    @property
    def count(self) -> int | None:
        """How many values there are; None where a range has all numbers between its ends."""
        if self.choices is not None:
            return len(self.choices)
        if not self.whole and self.step is None:
            return None
        low, high = (Decimal(str(end)) for end in self.ends)
        return int((high - low) / Decimal(str(self.step or 1))) + 1

    @property
    def is_listed(self) -> bool:
        """Whether the values are few enough to be listed."""
        return self.count is not None and self.count <= MOST_VALUES

    def values(self) -> list[Any]:
        """Every value, where they can be listed."""
        if self.choices is not None:
            return list(self.choices)
        # In decimals, so that 0.1 and twice 0.1 make 0.3.
        low, step = Decimal(str(self.ends[0])), Decimal(str(self.step or 1))
        return [self.number(float(low + place * step)) for place in range(self.count or 0)]

    def tried(self) -> list[Any]:
        """The values that are tried before a study begins, the first one first.

        Returns:
            Each choice; each value of a range of few; of another range both ends and some between.
        """
        if self.choices is not None or (self.count or MOST_VALUES) <= ALL_TRIED:
            return self.values()
        low, high = self.ends
        shares = [(place + 0.5) / BETWEEN for place in range(BETWEEN)]
        if self.log:
            between = [low * (high / low) ** share for share in shares]
        else:
            between = [low + (high - low) * share for share in shares]
        if self.count:
            step = self.step or 1
            # Beside the ends, since those between may all be even.
            between = [low + step, high - step, *(_on_step(one, low, step) for one in between)]
        return [self.number(one) for one in dict.fromkeys((low, high, *between))]

    def takes(self, value: Any) -> bool:
        """Whether a dimension that can be listed has this value, where 1 is not true."""
        is_flag = isinstance(value, bool)
        return any(value == one and isinstance(one, bool) == is_flag for one in self.values())

    def number(self, value: float) -> int | float:
        """A number of a range, as params.yaml holds it."""
        return int(value) if self.whole else float(value)

    def draw(self, key: str, trial: "optuna.Trial") -> Any:
        """The value of a trial.

        Args:
            key: of the param, which is its name in the storage.
            trial: is asked for the value, and remembers it.

        Returns:
            One of the choices, or a number of the range.
        """
        if self.choices is not None:
            by_name = {stored(value): value for value in self.choices}
            return by_name[trial.suggest_categorical(key, list(by_name))]

        low, high = self.ends
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(key, int(low), int(high), step=step, log=self.log)
        return trial.suggest_float(key, low, high, step=self.step, log=self.log)


def _on_step(value: float, low: float, step: float) -> float:
    """The nearest value of a range with steps."""
    place = round((value - low) / step)
    return float(Decimal(str(low)) + place * Decimal(str(step)))


def _check_range(dimension: Dimension) -> None:
    """Raises ValueError for a range that holds nothing, or not what it seems to hold."""
    low, high, step = dimension.low, dimension.high, dimension.step
    if low is None or high is None:
        raise ValueError("needs choices, or both from and to; write the missing ones")
    if low >= high:
        raise ValueError(
            f"from = {low:g} is not less than to = {high:g}; swap them, or write one value to fixed"
        )
    if dimension.log and low <= 0:
        raise ValueError(f"from = {low:g} has no logarithm; raise it above 0, or set log to false")
    if dimension.log and step is not None:
        raise ValueError("has both log and step, which exclude each other; leave one of them out")
    if dimension.whole and max(abs(low), abs(high)) > LARGEST_WHOLE:
        raise ValueError(f"has a whole number beyond {LARGEST_WHOLE}, which is rounded; lower it")
    if dimension.whole:
        for name, value in (("from", low), ("to", high), ("step", step)):
            if value is not None and value != int(value):
                raise ValueError(f"{name} = {value:g} is no whole number, which int = true needs")
    if step is not None and (high - low) / step > MOST_STEPS:
        raise ValueError(
            f"step = {step:g} makes more than {MOST_STEPS:g} values; raise it, or leave it out"
        )
    if step is not None:
        steps = (Decimal(str(high)) - Decimal(str(low))) / Decimal(str(step))
        if steps != int(steps):
            last = Decimal(str(low)) + int(steps) * Decimal(str(step))
            raise ValueError(
                f"steps of {step:g} from {low:g} do not reach to = {high:g}; set it to {last:g}"
            )


def stored(value: Any) -> Any:
    """A choice as a storage of Optuna holds it: a scalar as it is, another value as JSON."""
    return value if isinstance(value, SCALARS) else json.dumps(value, separators=(",", ":"))


def in_order(space: Mapping[str, Dimension]) -> list[str]:
    """The keys, each after those that its condition names; else as they stand in the file.

    Raises:
        graphlib.CycleError: when conditions go round in a circle.
    """
    sorter = TopologicalSorter({key: one.when or {} for key, one in space.items()})
    return list(sorter.static_order())


def is_drawn(dimension: Dimension, drawn: Mapping[str, Any]) -> bool:
    """Whether the condition of a dimension holds for what has been drawn of the other keys."""
    conditions = dimension.when or {}
    return all(key in drawn and drawn[key] in values for key, values in conditions.items())


def draw(space: Mapping[str, Dimension], trial: "optuna.Trial") -> dict[str, Any]:
    """Full key -> value of every key of the space whose condition holds."""
    drawn: dict[str, Any] = {}
    for key in in_order(space):
        if is_drawn(space[key], drawn):
            drawn[key] = space[key].draw(key, trial)
    return drawn


def first_point(space: Mapping[str, Dimension], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Every key at its first value, but for some.

    Args:
        space: full key -> dimension.
        wanted: the values of those others; what their conditions ask for is taken over.

    Returns:
        Full key -> value of the keys whose conditions hold.
    """
    wanted = dict(wanted)
    for key in reversed(in_order(space)):
        conditions = space[key].when or {}
        if key in wanted:
            wanted = {other: values[0] for other, values in conditions.items()} | wanted

    point: dict[str, Any] = {}
    for key in in_order(space):
        if is_drawn(space[key], point):
            point[key] = wanted.get(key, space[key].tried()[0])
    return point


def some_point(space: Mapping[str, Dimension], rng: random.Random) -> dict[str, Any]:
    """Some point of choices and of ends of ranges."""
    point: dict[str, Any] = {}
    for key in in_order(space):
        if is_drawn(space[key], point):
            point[key] = rng.choice(space[key].tried())
    return point


def grid(space: Mapping[str, Dimension]) -> Iterator[dict[str, Any]]:
    """Every point of a space whose values can all be listed, each once."""
    keys = in_order(space)

    def points(place: int, point: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if place == len(keys):
            yield point
            return
        key = keys[place]
        if not is_drawn(space[key], point):
            yield from points(place + 1, point)
            return
        for value in space[key].values():
            yield from points(place + 1, point | {key: value})

    yield from points(0, {})
