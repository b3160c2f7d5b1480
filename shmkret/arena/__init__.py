"""The arena: one shared-memory segment that holds everything that CPUs share, seen through numpy.

It says what lies where, makes and attaches segments, walks their lists, and finds those that have a name. It knows no scheme, no
lock and no program.

Read `records` (what there is), `fields` (what a field of a record class is), `layout` (where it lies), `shape` (what a Kernel is put
together from), `header`, `segment` (the mapping), `boot` (how everything stands at first), `chains` (walks), `memory`, `hashing`,
`named`.
"""

from shmkret.arena.layout import Geometry
from shmkret.arena.segment import Arena

__all__ = ["Arena", "Geometry"]
