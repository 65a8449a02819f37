"""Two revisions in turn: A B, B A, A B ..., so that what drifts on the host drifts for both."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError
from bench.perf import scripts


@contextmanager
def worktree(revision: str, where: str) -> Iterator[Path]:
    """Check `revision` out in a folder of its own, for as long as it is needed.

    Raises
    ------
    UsageError
        No git repository, no such revision, or one without benchmarks.
    """
    root = scripts.ROOT
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", where=f"{where} {revision}")
    with tempfile.TemporaryDirectory(prefix="smmubench-ab-") as folder:
        path = Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(path), commit, where=f"{where} {revision}")
        try:
            if not scripts.names(path):
                raise UsageError(
                    "a revision without benchmarks", f"{where} {revision}", "bench/bm_*.py", "none"
                )
            yield path
        finally:
            subprocess.run(["git", "-C", str(root), "worktree", "remove", "--force", str(path)], check=False,
                           capture_output=True)  # fmt: skip


def _git(*words: str, where: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(scripts.ROOT), *words], check=False, capture_output=True, text=True
        )
    except OSError as error:
        raise UsageError("git cannot be run", where, found=error.strerror or str(error)) from None
    if done.returncode:
        found = (done.stderr.strip().splitlines() or ["none"])[-1]
        raise UsageError("no such revision", where, "a commit of this checkout", found)
    return done.stdout.strip()


def order(rounds: int) -> list[tuple[int, int]]:
    """Return (round, side) in the order of running.

    Examples
    --------
    >>> order(2)
    [(0, 0), (0, 1), (1, 1), (1, 0)]
    """
    return [(turn, side) for turn in range(rounds) for side in ((0, 1) if turn % 2 == 0 else (1, 0))]


def interleave(
    trees: Sequence[Path],
    outs: Sequence[Path],
    rounds: int,
    wanted: Sequence[str],
    arguments: Sequence[str],
    tell: Callable[[int, int], None],
) -> None:
    """Run the scripts that both trees have, a process a round and side, into a pyperf file a side.

    Parameters
    ----------
    trees, outs : sequence of two paths
    rounds : int
    wanted : sequence of str
        Scripts; all that both have if none is named.
    arguments : sequence of str
        pyperf's.
    tell : callable
        Called with (scripts run, of how many).

    Raises
    ------
    UsageError
        A script that one of them has not, or that fails.
    """
    both = [name for name in scripts.choose(wanted, trees[0]) if name in scripts.choose((), trees[1])]
    for name in scripts.choose(wanted, trees[1]) if wanted else ():
        assert name in both
    steps = order(rounds)
    done = 0
    for _, side in steps:
        for name in both:
            scripts.run(name, outs[side], ["-p", "1", *arguments], trees[side], quiet=True)
            done += 1
            tell(done, len(steps) * len(both))
