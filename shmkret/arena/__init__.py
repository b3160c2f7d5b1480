"""The arena: one shared-memory segment that holds everything that CPUs share, seen through numpy.

It says what lies where, makes and attaches segments, walks their lists, and finds those that have a name. It knows no scheme,
no lock and no program.

records     what stands in each record, a word a field; the Kernel, whose fields are the sections
fields      what a field of a record class is: a word, a table, an array of locks, a number
layout      how many of each, in which order, how far apart
shape       what a Kernel is put together from, for every machine
header      the first pages: what an arena is, how large, and what it was made with
segment     the segment itself, made or attached
boot        how everything stands when the CPUs start
chains      walks over what it holds, every index checked
memory      whether what it needs is to be had
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
