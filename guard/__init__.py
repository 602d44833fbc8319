"""QwQ Guard: nothing unreviewed leaves.

A proxy, an in-process hook and a command line around one pure engine (`guard.engine`) that reviews the stream of a
reasoning model while it is written. `ARCHITECTURE.md` is the map.
"""

__version__ = "0.1.0"
