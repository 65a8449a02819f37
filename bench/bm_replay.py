"""ns per access of timed replay: each bundled capture as captured, histograms and all."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a script, this folder would be where `bench` is looked for, and not the one above.
HERE = Path(__file__).resolve().parent
if sys.path[0] == str(HERE):
    sys.path[0] = str(HERE.parent)

from bench.perf.replays import benchmarks
from bench.perf.suite import main

if __name__ == "__main__":
    main(str(__doc__), benchmarks())
