"""What a workload hands over: how to run it again, and how to check what came out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from traces.cuda.workloads import NAMES
from traces.errors import TraceError


@dataclass(frozen=True)
class Job:
    """A workload with its data on the device.

    Attributes
    ----------
    run : callable of a device ring
        Launches the kernels; may be called again, and does the same work each time.
    check : callable
        Returns one sentence on what was checked; raises `WrongResultError` where the result is wrong.
    """

    run: Callable[[Any], None]
    check: Callable[[], str]


class WrongResultError(RuntimeError):
    """A workload's result is not what its data ask for: the recording means nothing."""


def load(name: str) -> ModuleType:
    """Import a workload's module.

    Parameters
    ----------
    name : str
        One of `traces.cuda.workloads.NAMES`.

    Raises
    ------
    TraceError
        No such workload.
    """
    if name not in NAMES:
        raise TraceError("no such workload", "capture cuda", f"one of {', '.join(NAMES)}", repr(name))
    return importlib.import_module(f"traces.cuda.workloads.{name.replace('-', '_')}")
