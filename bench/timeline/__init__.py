"""One run, moment by moment: what each CPU, bank and fault did, for a timeline or for words.

`watch` runs a cell and notes every effect of each context in a window of simulated time; `spans` makes of
that what lasts from when to when; `perfetto` writes a file that Perfetto opens; `story` tells one fault.
"""
