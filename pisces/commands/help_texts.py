"""What `--help` says of a command: the first line of its docstring."""


def first_line(docstring: str | None) -> str:
    """The first line of a docstring; empty where there is none."""
    return (docstring or "").partition("\n")[0]
