"""What stands in messages: the words of other libraries, and sizes."""


def in_one_line(message: object, longest: int | None = None) -> str:
    """A message or error without line breaks, of at most so many characters."""
    return " ".join(str(message).split())[:longest]


def printable(text: str) -> str:
    """A text whose line breaks, escapes and undecodable bytes a terminal shows instead of obeying.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def counted(number: int, noun: str, plural: str | None = None, *, spec: str = "") -> str:
    """A number with its noun.

    Args:
        number: how many there are.
        noun: what one of them is called.
        plural: what others than one are called, where that is not the noun with an s.
        spec: format of the number.

    Returns:
        The two of them.

    >>> counted(1, "frame"), counted(0, "frame"), counted(2_000, "class", "classes", spec=",")
    ('1 frame', '0 frames', '2,000 classes')
    """
    return f"{number:{spec}} {noun if number == 1 else plural or f'{noun}s'}"


def readable_size(size: float) -> str:
    """A number of bytes with its unit."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
