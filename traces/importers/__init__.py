"""Makes traces of what others recorded: one module for each format that is read.

A reader is a module of this package, named in `traces.importers.registry`, with five names in it:

``WHAT``
    What it reads, in a few words, for messages.
``OPTIONS``
    The fields of `traces.importers.result.Options` that it heeds; a user who sets another is refused.
``sniff(head, name)``
    True where a file begins like this: the first bytes of the decompressed stream, and the file's name in
    lower case without ``.gz``, ``.zst`` or ``.xz``.
``draft(source)``
    Returns the manifest's beginnings.
``read(source, draft, options)``
    A generator of blocks of events (1-D, dtype `traces.events.EVENT`, time never decreasing). It fills
    the draft of the manifest while it goes; the draft counts once the generator has ended.

What is broken goes to ``source.dropped.refuse``: that raises, or counts where the user asked for
``--salvage``, and then the reader leaves it out and goes on. Nothing else may be left out in silence:
whatever a reader passes over it counts in the draft's notes. Readers hold a bounded number of lines and
events, whatever the file says: what must be sorted goes through `traces.importers.ordered`, whose file lies
in ``source.scratch``.
"""
