"""Write requirements.lock: every package that pyproject.toml leads to, at one version each.

``make pins`` runs this.  pip in a new, empty virtual environment resolves everything at once; a second
resolution of the runtime dependencies alone, held to the versions of the first, says which packages
are for development only.  Nothing is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"

HEADER = """\
# Every package that smmubench needs, at the version it was tested with.  Made by `make pins` from
# pyproject.toml, in an empty virtual environment, with Python {python}: do not edit by hand.
#
# One file for running and developing: the second section costs about 20 of the 70 seconds of a fresh
# install (a busy two-core machine), and in return there is one environment, so demo, test and lint can
# never disagree about it.
"""
RUNTIME = "\n# --- to run it (setuptools installs the project itself, in place)\n"
DEVELOPMENT = "\n# --- to develop it: tests, lint, types, documentation, notebooks\n"


def resolve(python: Path, *arguments: str) -> dict[str, str]:
    """Return name -> version of everything pip would install for `arguments`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [python, "-I", "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        how = ["--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", report]
        subprocess.run([*pip, *how, *arguments], check=True)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = [(item["metadata"]["name"], item["metadata"]["version"]) for item in items]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def lines(pins: dict[str, str]) -> str:
    """Return `pins` in the form of a requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def main() -> None:
    """Resolve, and write the lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = project["build-system"]["requires"] + project["project"]["dependencies"]
    development = project["project"]["optional-dependencies"]["dev"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    oldest = project["project"]["requires-python"].removeprefix(">=")
    if version != oldest:
        sys.exit(f"pins: this is Python {version}, pins need the oldest: PYTHON=python{oldest} make pins")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        print("pins: resolving every dependency (half a minute)", flush=True)
        everything = resolve(python, *runtime, *development)
        held = Path(folder) / "held.txt"
        held.write_text(lines(everything), encoding="utf-8")
        needed = resolve(python, "-c", str(held), *runtime)
    extra = {name: pin for name, pin in everything.items() if name not in needed}
    LOCK.write_text(
        HEADER.format(python=version) + RUNTIME + lines(needed) + DEVELOPMENT + lines(extra), encoding="utf-8"
    )
    print(f"pins: {LOCK.name}: {len(needed)} packages to run, {len(extra)} more to develop")


if __name__ == "__main__":
    main()
