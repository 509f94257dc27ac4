"""Which key an unknown one may stand for: by its spelling, or by the words that describe a key."""

import difflib
import re
from collections.abc import Mapping, Sequence

from pisces.config.fields import Section
from pisces.config.keys import inner_section, key_of, one_line
from pisces.config.schema import Params

CLOSE = 0.75
"""Least similarity of two spellings, 1 for equal ones: half of it is also that of other words."""
MOST = 3
"""Keys that are offered."""
SHORTEST = 4
"""Letters of a word that may stand for a longer one, as `optim` does for `optimizer`."""


def likely(name: str, known: Mapping[str, str]) -> list[str]:
    """The keys that an unknown one may stand for.

    Args:
        name: of the unknown key, without its section.
        known: key, which may be a full one -> its description.

    Returns:
        Of `MOST` keys at most: those spelt nearly so; else those whose name or description has all
        words of the name, an abbreviation of them first.
    """
    own = {key: key.rpartition(".")[2] for key in known}
    close = difflib.get_close_matches(name, own.values(), n=1, cutoff=CLOSE)
    if close:
        return [key for key, one in own.items() if one == close[0]][:MOST]

    wanted = _words(name)
    if not wanted:
        return []
    found = []
    for key, meaning in known.items():
        if _initials(own[key]) == name:  # wd: weight_decay
            found.append((0, 0, key))
            continue
        words = [*_words(own[key]), *_words(meaning)]
        places = [_place(one, words) for one in wanted]
        if all(place < len(words) for place in places):
            is_initials = own[key] == _initials(name)  # learning_rate: lr
            found.append((0 if is_initials else 1, min(places), key))
    return [key for *_, key in sorted(found)[:MOST]]


def _place(word: str, words: Sequence[str]) -> int:
    """Where a word stands first among others; past their end where it does not."""
    for place, one in enumerate(words):
        if one == word or (len(word) >= SHORTEST and one.startswith(word)):
            return place
    return len(words)


def _words(text: str) -> list[str]:
    """Words in small letters, those that a key has between its underscores, in the singular."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return [one.removesuffix("s") if len(one) > SHORTEST else one for one in found]


def _initials(name: str) -> str:
    """Of a name of several words; empty for one word."""
    words = name.split("_")
    return "".join(word[:1] for word in words) if len(words) > 1 else ""


def described_keys(section: type[Section]) -> dict[str, str]:
    """Key of a section -> its description."""
    fields = section.model_fields.items()
    return {key_of(name, field): one_line(field.description) for name, field in fields}


def every_param() -> dict[str, str]:
    """Section and key of each param -> its description."""
    found: dict[str, str] = {}
    for name in Params.model_fields:
        inner = inner_section(Params, name)
        if inner is not None:
            keys = described_keys(inner)
            found |= {f"{name}.{key}": meaning for key, meaning in keys.items()}
    return found


def question(keys: Sequence[str]) -> str:
    """Such as " (did you mean train.lr or train.schedule?)"; empty without keys."""
    if not keys:
        return ""
    *others, last = keys
    choice = f"{', '.join(others)} or {last}" if others else last
    return f" (did you mean {choice}?)"
