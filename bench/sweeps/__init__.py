"""Sweeps: the product of axes, run in threads or on a cluster, whose rows outlive a kill."""
