"""The version of the code that runs, as rows of runs and models have it."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from forecasting import __version__


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout: `0.2.0+3f9c2ab`."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return __version__
    # A service's user reads a checkout that is root's, which git refuses unless the folder is declared safe.
    command = [git, "-c", f"safe.directory={root}", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our own folder
    return f"{__version__}+{found.stdout.strip()}" if found.returncode == 0 else __version__
