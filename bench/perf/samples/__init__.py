"""Files to import: one writer a format, each in the form that its tool writes.

They are synthetic: their length is chosen, their content says nothing.
"""
