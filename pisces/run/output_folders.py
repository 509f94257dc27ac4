"""The folders that stages write into, which DVC follows only inside of the repository."""

import os
from pathlib import Path

FOLDERS = tuple(Path(name) for name in ("data", "data/raw", "models", "metrics", "plots"))


def require_no_link() -> None:
    """Raises ValueError where a folder of outputs is a link, in a stage that DVC runs.

    DVC says so itself, but only when the stage is done: "is outside of git repository".
    """
    linked = [folder for folder in FOLDERS if folder.is_symlink()]
    if "DVC_STAGE" in os.environ and linked:
        raise ValueError(
            f"{linked[0]} is a link to {linked[0].resolve()}, and DVC tracks nothing behind a "
            "link: remove it, and put DVC's cache on the other disk with dvc cache dir --local "
            "and cache.type symlink, as docs/guide/own_file.md shows"
        )
