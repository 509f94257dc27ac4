"""How git brings a file back, so that no message advises what would change nothing."""

import subprocess
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether git has another content of a file; false without git, and of an untracked file."""
    command = ["git", "diff", "--quiet", "--", path.name]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    except OSError:  # no git, or no folder
        return False
    return done.returncode == 1


def advice(path: Path) -> list[str]:
    """The clause that says how git brings a file back; none where it cannot."""
    return [f"bring it back with git checkout -- {path}"] if is_there(path) else []
