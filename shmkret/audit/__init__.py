"""The audit of a quiet arena, its repair, and what is in an arena that has a name.

Read `findings` (what is found, as records), `checks` (what must hold), `checked` (the words that are checked), `repair`, `arenas`.
"""

from shmkret.audit.checks import audit, books

__all__ = ["audit", "books"]
