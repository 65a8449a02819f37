"""Traces of device accesses: one file format, its catalogue, and the tools that record it.

Import the part that is needed (`traces.reader`, `traces.writer`, `traces.validate`, `traces.catalogue`);
this package itself imports nothing, so that `traces.events` stays cheap for the model.
"""
