"""The programs that a capture needs, and the Debian packages that hold them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from traces.errors import TraceError

#: Program -> Debian package.
PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "cpio": "cpio",
    "depmod": "kmod",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}

#: A header that the guest's programs need -> its Debian package.
HEADERS = {"/usr/aarch64-linux-gnu/include/drm/drm_mode.h": "libc6-dev-arm64-cross"}


def program(name: str) -> str:
    """Find a program, also where only root's PATH has it.

    Returns
    -------
    str
        Its path, or "" where there is none.
    """
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or ""


def check_tools() -> None:
    """Check that everything a capture needs is installed.

    Raises
    ------
    TraceError
        Naming what is missing and the command that installs it.
    """
    packages = {package for name, package in PROGRAMS.items() if not program(name)}
    packages |= {package for header, package in HEADERS.items() if not Path(header).exists()}
    if packages:
        raise TraceError(
            "a capture needs programs that are not here",
            "this machine",
            "apt-get install --no-install-recommends " + " ".join(sorted(packages)),
        )


def run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program.

    Returns
    -------
    str
        Its standard output.

    Raises
    ------
    TraceError
        It failed; the message holds the last line it printed.
    """
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise TraceError(
            f"{Path(command[0]).name} failed with status {done.returncode}",
            " ".join(command)[:200],
            found=said[-1],
        )
    return done.stdout
