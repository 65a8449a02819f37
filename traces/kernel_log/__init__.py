"""Fault lines in a kernel log, of every layout that Linux, its vendors and Xen have printed.

`scan` reads an iterator of (line number, text) and returns a `Log`.  What is read is what the log says and no
more: registers stay numbers here, and nothing of a line that is torn is guessed.
"""

from traces.kernel_log.pieces import scan_parts
from traces.kernel_log.record import Fault, Log, Malformed, Note, Suppressed
from traces.kernel_log.scan import scan

__all__ = ["Fault", "Log", "Malformed", "Note", "Suppressed", "scan", "scan_parts"]
