"""Golden results: simulated rows kept under `results/golden/`, and compared for equality."""
