"""ns per event to decode each bundled capture; per line, row, packet or instruction to import each format."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a script, this folder would be where `bench` is looked for, and not the one above.
HERE = Path(__file__).resolve().parent
if sys.path[0] == str(HERE):
    sys.path[0] = str(HERE.parent)

from bench.perf.readings import benchmarks
from bench.perf.suite import main

if __name__ == "__main__":
    main(str(__doc__), benchmarks())
