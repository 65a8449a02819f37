"""Builds the guest's first file system: our programs, busybox and the modules of one workload."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

from traces.errors import TraceError
from traces.qemu.packages import GuestFiles
from traces.qemu.tools import run
from traces.qemu.workloads import Workload

#: The guest's own sources.
GUEST = Path(__file__).parent / "guest"


def module_order(dep: str, wanted: tuple[str, ...]) -> list[str]:
    r"""Order modules so that each comes after what it needs.

    Parameters
    ----------
    dep : str
        The text of ``modules.dep``: ``path: needed needed ...``, the needed ones last to first.
    wanted : tuple of str
        Module names.

    Returns
    -------
    list of str
        Paths relative to the modules' folder.

    Raises
    ------
    TraceError
        The kernel has no such module.

    Examples
    --------
    >>> module_order("a/x.ko: b/y.ko b/z.ko\nb/y.ko: b/z.ko\nb/z.ko:\n", ("x",))
    ['b/z.ko', 'b/y.ko', 'a/x.ko']
    """
    needs = {}
    for line in dep.splitlines():
        path, _, rest = line.partition(":")
        needs[Path(path).name.split(".")[0].replace("-", "_")] = [*reversed(rest.split()), path]
    order: dict[str, None] = {}
    for name in wanted:
        if (key := name.replace("-", "_")) not in needs:
            raise TraceError("the guest's kernel has no such module", "modules.dep", name, "none")
        order.update(dict.fromkeys(needs[key]))
    return list(order)


def build_initrd(workload: Workload, files: GuestFiles, workdir: Path) -> Path:
    """Compile the guest's programs and pack its first file system.

    Parameters
    ----------
    workload : Workload
    files : GuestFiles
    workdir : pathlib.Path

    Returns
    -------
    pathlib.Path
        A gzipped newc archive.

    Raises
    ------
    TraceError
        The compiler or cpio failed, or a module is missing.
    """
    root = workdir / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "mod"):
        (root / folder).mkdir(parents=True)
    shutil.copy(files.busybox, root / "bin" / "busybox")
    shutil.copy(GUEST / "init", root / "init")
    (root / "init").chmod(0o755)
    shutil.copy(GUEST / workload.script, root / "workload")
    for program, sources in workload.programs.items():
        compile_ = ["aarch64-linux-gnu-gcc", "-O2", "-static", "-s", "-Wall", "-Wextra", "-D_GNU_SOURCE"]
        run([*compile_, "-o", str(root / "bin" / program), *(str(GUEST / source) for source in sources)])
    names = []
    for path in module_order((files.modules / "modules.dep").read_text(), workload.modules):
        data = (files.modules / path).read_bytes()
        # Later Debian kernels compress their modules; busybox's insmod does not read that.
        name = Path(path).name.removesuffix(".xz")
        (root / "mod" / name).write_bytes(lzma.decompress(data) if path.endswith(".xz") else data)
        names.append(name)
    (root / "modules").write_text("\n".join(names) + "\n")
    listing = "\n".join(sorted(str(p.relative_to(root)) for p in root.rglob("*"))) + "\n"
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet", "--owner", "0:0", "--reproducible"],
        cwd=root, input=listing.encode(), capture_output=True, check=False,
    )  # fmt: skip
    if packed.returncode:
        raise TraceError("cpio failed", root, found=packed.stderr.decode())
    initrd = workdir / "initrd.gz"
    initrd.write_bytes(gzip.compress(packed.stdout, 1, mtime=0))
    return initrd
