"""The words of other libraries, as they stand in messages of ours."""


def in_one_line(message: object, longest: int | None = None) -> str:
    """A message or error without line breaks, of at most so many characters."""
    return " ".join(str(message).split())[:longest]
