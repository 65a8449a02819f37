"""ns per access of translate-only replay, by what answers it: a TLB, or a walk of some granule and depth."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a script, this folder would be where `bench` is looked for, and not the one above.
HERE = Path(__file__).resolve().parent
if sys.path[0] == str(HERE):
    sys.path[0] = str(HERE.parent)

from bench.perf.suite import main
from bench.perf.translations import benchmarks

if __name__ == "__main__":
    main(str(__doc__), benchmarks())
