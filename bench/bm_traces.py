"""ns per event to decode each bundled capture, and per line or row to import each format."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a script, this folder would be where `bench` is looked for, and not the one above.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.perf.readings import benchmarks
from bench.perf.suite import main

if __name__ == "__main__":
    main(str(__doc__), benchmarks())
