"""How fast translate-only replay is, against the same machine in plain C++ (``make perf-yardstick``)."""
