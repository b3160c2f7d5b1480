"""What must hold in an arena that is at rest, and what can be made whole again where it does not.

findings    what is found: records, of which sentences are made last
checked     the words of which every bit counts, and when
checks      the audit: every list, every count
repair      lists and counts made again from what is left
arenas      the same for a named arena, live or left over
"""

from shmkret.audit.arenas import attach
from shmkret.audit.checks import audit

__all__ = ["attach", "audit"]
