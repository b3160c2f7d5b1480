"""The arena: one shared-memory segment that holds everything, and what lies where in it.

records     what stands in each record, a word a field
layout      how many of each, in which order, how far apart
header      the first page: what an arena is, how large, and what it was made with
segment     the segment itself, made or attached
memory      whether what it needs is to be had
chains      walks over what it holds, every index checked
hashing     which bucket a task's instances are in
named       arenas that have a name: which there are, and whose
"""

from shmkret.arena.chains import statistics
from shmkret.arena.hashing import hash_ptr
from shmkret.arena.layout import Geometry
from shmkret.arena.named import Named, clean, listing
from shmkret.arena.records import Boot, Kernel, Stack
from shmkret.arena.segment import Arena

__all__ = ["Arena", "Boot", "Geometry", "Kernel", "Named", "Stack", "clean", "hash_ptr", "listing", "statistics"]
