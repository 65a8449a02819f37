"""The guest's kernel and shell: unmodified Debian arm64 packages.

apt fetches and verifies them with this machine's own sources, but with a state of its own, so that
the machine's package architectures and lists stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traces.errors import TraceError
from traces.qemu.tools import program, run

_CONFIG = """\
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{root}/sources.d";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
"""


@dataclass(frozen=True)
class GuestFiles:
    """The unpacked packages.

    Attributes
    ----------
    kernel : pathlib.Path
        The kernel image.
    modules : pathlib.Path
        The folder with ``modules.dep``.
    busybox : pathlib.Path
        A static arm64 busybox.
    version : str
        The kernel's package and its version.
    """

    kernel: Path
    modules: Path
    busybox: Path
    version: str


def cache_dir() -> Path:
    """Where downloads are kept between captures: ``$XDG_CACHE_HOME/smmubench/qemu-guest``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smmubench" / "qemu-guest"


def fetch(root: Path, progress: Callable[[str], object]) -> GuestFiles:
    """Download and unpack the guest's packages, or use those already there.

    Parameters
    ----------
    root : pathlib.Path
        A folder of ours; about 500 MB.
    progress : callable of str
        Told what is going on.

    Returns
    -------
    GuestFiles

    Raises
    ------
    TraceError
        apt or dpkg-deb failed, or a package does not hold what it should.
    """
    unpacked = root / "unpacked"
    if not (unpacked / "version").exists():
        progress("downloading the arm64 kernel and busybox (about 65 MB) with apt")
        debs = _download(root)
        shutil.rmtree(unpacked, ignore_errors=True)
        for deb in debs:
            run(["dpkg-deb", "-x", str(deb), str(unpacked)])
        kernel = next(deb for deb in debs if deb.name.startswith("linux-image"))
        release = _one(unpacked / "lib" / "modules", "*").name
        run([program("depmod"), "-b", str(unpacked), release])
        # Written last: an interrupted download is begun again.
        (unpacked / "version").write_text(" ".join(kernel.name.split("_")[:2]) + "\n")
    return GuestFiles(
        kernel=_one(unpacked / "boot", "vmlinuz-*"),
        modules=_one(unpacked / "lib" / "modules", "*"),
        busybox=_one(unpacked / "bin", "busybox"),
        version=(unpacked / "version").read_text().strip(),
    )


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise TraceError(
            "the guest's packages are not as expected", folder, f"one {pattern}", f"{len(found)}"
        )
    return found[0]


def _download(root: Path) -> list[Path]:
    for folder in ("state/lists/partial", "cache/archives/partial", "sources.d", "debs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "state" / "status").touch()
    sources = [
        *Path("/etc/apt/sources.list.d").glob("*.sources"),
        *Path("/etc/apt/sources.list.d").glob("*.list"),
    ]
    for source in [*sources, Path("/etc/apt/sources.list")]:
        # Other vendors' sources have no kernel for us, and need not know of arm64.
        if source.exists() and "debian" in source.read_text():
            shutil.copy(source, root / "sources.d" / source.name.replace("sources.list", "main.list"))
    config = root / "apt.conf"
    config.write_text(_CONFIG.format(root=root))
    env = os.environ | {"APT_CONFIG": str(config)}
    run(["apt-get", "update", "-q"], env=env)
    depends = run(["apt-cache", "depends", "linux-image-arm64"], env=env)
    # The metapackage depends on the image of one kernel version.
    image = re.search(r"Depends: (linux-image-\S+)", depends)
    if image is None:
        raise TraceError(
            "no arm64 kernel in apt's sources", "/etc/apt", "linux-image-arm64, as Debian has it"
        )
    debs = root / "debs"
    for old in debs.glob("*.deb"):
        old.unlink()
    run(["apt-get", "download", "-q", image[1], "busybox-static"], cwd=debs, env=env)
    return sorted(debs.glob("*.deb"))
