"""The model that is used where none is named."""

from pathlib import Path

from pisces.models.modelfile import CARD

TRAINED_HERE = Path("models")
SHIPPED = Path(__file__).parents[1] / "shipped"


def folder() -> Path:
    """That of the last training in this repository, else the one that comes with the package."""
    return TRAINED_HERE if (TRAINED_HERE / CARD).is_file() else SHIPPED
