"""Synthetic traces: access patterns made by formula, for what no capture can show.

`traces.synthetic.registry` lists the kinds and their parameters; `traces.synthetic.make` writes a trace.
Every access is a function of its number, the parameters and the seed, in whole numbers only: the same
seed gives the same events on every machine, and any part of a trace can be made without the rest.
"""
