"""The order in which every picture and table shows modulations: by family."""

from collections.abc import Iterable

from pisces.core.modulations import FAMILIES, in_order

OWN_FAMILY = "Other"
"""Of classes of one's own."""


def families_of(modulations: Iterable[str]) -> dict[str, list[str]]:
    """The families that have members among the modulations, with these."""
    named = in_order(modulations)
    found = {
        family: [name for name in named if name in members] for family, members in FAMILIES.items()
    }
    known = {name for members in found.values() for name in members}
    found[OWN_FAMILY] = [name for name in named if name not in known]
    return {family: members for family, members in found.items() if members}


def by_family(modulations: Iterable[str]) -> list[str]:
    """Each modulation once, the members of a family together, classes of one's own at the end."""
    return [name for members in families_of(modulations).values() for name in members]
