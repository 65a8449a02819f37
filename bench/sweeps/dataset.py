"""A sweep's folder: Parquet files that appear whole, and a journal of what is in them.

::

    storm-dial/
      plan.json        the file that was asked for, and what it was made with
      journal.jsonl    a line a start, a batch, an end
      rows/*.parquet   the rows, a file a batch: one dataset

A file of rows is written beside and renamed, and then told in the journal.  A process that is killed
between the two leaves a file that the journal does not know: it is read when the sweep is taken up again.
The files alone are the truth; the journal spares reading them all.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import UsageError
from bench.run import hash_of
from bench.sweeps.plan import AXES, Plan
from bench.sweeps.schema import table
from bench.sweeps.work import FAILED

FORMAT = 1
PLAN, JOURNAL, ROWS = "plan.json", "journal.jsonl", "rows"


class Dataset:
    """A sweep's folder, held by one process; a context manager.

    Raises
    ------
    UsageError
        The folder cannot be written to, is no sweep's, is a newer format's, or another process holds it.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.finished: set[str] = set()
        self.failed: set[str] = set()
        self._journal: TextIO | None = None

    def __enter__(self) -> Dataset:
        try:
            if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / JOURNAL).exists():
                raise UsageError("not a sweep's", self.folder, "a new folder, or a sweep's", "other files")
            (self.folder / ROWS).mkdir(parents=True, exist_ok=True)
            self._journal = (self.folder / JOURNAL).open("a+", encoding="utf-8")
        except OSError as error:
            raise UsageError("cannot be written", self.folder, found=error.strerror or str(error)) from None
        try:
            self._enter()
        except BaseException:
            self._journal.close()
            raise
        return self

    def _enter(self) -> None:
        assert self._journal is not None
        try:
            # Held until this process ends, however it ends.
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            expected = "a sweep that nothing is running"
            raise UsageError("in use", self.folder, expected, "another process") from None
        check_format(self.folder)
        for part in [*self.folder.glob(".*.part"), *(self.folder / ROWS).glob(".*.part")]:
            part.unlink()
        self._take_stock()
        _put(self.folder / PLAN, json.dumps(describe(self.plan), indent=1, ensure_ascii=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Put rows into the dataset: after this they outlive the process.

        Raises
        ------
        UsageError
            They cannot be written.
        """
        if not rows:
            return
        cells = [row["cell"] for row in rows]
        failed = [row["cell"] for row in rows if row["status"] == FAILED]
        name = f"{hash_of(*cells)[:24]}.parquet"
        self._write(self.folder / ROWS / name, table(rows))
        self.tell(event="batch", file=name, cells=cells, failed=failed)
        self.finished.update(cells)
        self.failed.update(failed)

    def forget_failed(self) -> int:
        """Drop the rows of failed cells, so that they are computed again; return how many."""
        dropped = len(self.failed)
        for path in sorted((self.folder / ROWS).glob("*.parquet")) if dropped else ():
            rows = _read(path)
            keep = rows.filter(pc.not_equal(rows["status"], FAILED))
            if keep.num_rows == rows.num_rows:
                continue
            # Killed before the journal is told, the file has other rows than it says, and is read again.
            if keep.num_rows:
                self._write(path, keep)
                self.tell(event="forgot", file=path.name, cells=keep["cell"].to_pylist(), failed=[])
            else:
                path.unlink()
        self.finished -= self.failed
        self.failed.clear()
        return dropped

    def tell(self, **what: Any) -> None:
        """Add a line to the journal."""
        assert self._journal is not None
        self._journal.write(json.dumps(what) + "\n")
        self._journal.flush()

    def _take_stock(self) -> None:
        """Learn which cells are finished: from the journal, and from files that it does not know."""
        known = {name: (cells, failed) for name, cells, failed in self._told()}
        for path in sorted((self.folder / ROWS).glob("*.parquet")):
            cells, failed = known.get(path.name, ([], []))
            if len(cells) != _count(path):
                rows = _read(path, ["cell", "status"]).to_pylist()
                cells = [row["cell"] for row in rows]
                failed = [row["cell"] for row in rows if row["status"] == FAILED]
                self.tell(event="batch", file=path.name, cells=cells, failed=failed)
            self.finished.update(cells)
            self.failed.update(failed)

    def _told(self) -> Iterable[tuple[str, list[str], list[str]]]:
        assert self._journal is not None
        self._journal.seek(0)
        whole = 0
        for line in iter(self._journal.readline, ""):
            try:
                if not line.endswith("\n"):
                    raise ValueError("no end")
                what = json.loads(line)
            except ValueError:
                # A kill in the middle of a line: what follows is not to be joined to it.
                break
            whole = self._journal.tell()
            if what.get("event") in ("batch", "forgot"):
                yield what["file"], what["cells"], what["failed"]
        self._journal.truncate(whole)
        self._journal.seek(0, os.SEEK_END)

    def _write(self, path: Path, rows: Any) -> None:
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                pq.write_table(rows, file, compression="zstd", version="2.6")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise UsageError("cannot be written", path, found=error.strerror or str(error)) from None
        finally:
            beside.unlink(missing_ok=True)


def describe(plan: Plan) -> dict[str, Any]:
    """Return what a folder says of its sweep."""
    from importlib.metadata import version  # noqa: PLC0415

    from bench.policy_files import as_words  # noqa: PLC0415
    from smmucore.policies import POLICIES  # noqa: PLC0415

    own = {policy.id: as_words(policy) for policy in plan.policy if policy.id not in POLICIES}
    return {
        "format": FORMAT,
        "clock": "simulated",
        "name": plan.name,
        "model": plan.model,
        "smmubench": version("smmubench"),
        "cells": plan.count(),
        "traces": {t.name: {"sha256": t.sha256, "kind": t.kind, "pace": t.pace} for t in plan.trace},
        # A million seeds need no list to be put in order.
        "axes": {axis: plan.spelled(axis) for axis in AXES if axis != "seed"},
        **({"own_policies": own} if own else {}),
        "spec": plan.text,
    }


def check_format(folder: Path) -> dict[str, Any]:
    """Return what a folder says of its sweep; nothing where it says nothing yet.

    Raises
    ------
    UsageError
        It is no sweep's, or a newer format's.
    """
    path = folder / PLAN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        newer = found["format"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("not a sweep's plan", path, found=str(error)) from None
    if newer != FORMAT:
        raise UsageError("other format", path, f"format {FORMAT}", str(newer))
    described: dict[str, Any] = found
    return described


def _read(path: Path, columns: list[str] | None = None) -> Any:
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UsageError:
    hint = "rows of a sweep (remove the file, and its cells are computed again)"
    return UsageError("damaged rows", path, hint, str(error).splitlines()[0])


def _put(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise UsageError("cannot be written", path, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have the rename outlive a loss of power, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
