"""The explorer: the same functions that run between processes, under every interleaving of their steps.

It promises that a search which says `complete` has tried every order of the CPUs' steps, deaths included; that it tells of
the first that goes wrong; and that the schedule which led there leads there again. Memory is sequentially consistent, and
relaxed accesses are, too; compiled code is searched under x86-TSO, or release-acquire memory, as well, if it is asked for.

Read `scenario` and `scene` (what is explored, and what a search says of it), then the two executors: `greenlets/`, plain
Python, which explains, and `stacks/`, the compiled text, which searches a thousand times faster. `always` is asked of
every new state of compiled searches, `monitors/` of every one of the others, `engines/` say which schedules are tried,
`schedule` has explore(): greenlets with both. `scenarios/` are what `shmkret explore` searches, `shown/` is how a failure
looks.

`search` does one search, from what was asked to what is shown of it; `combinations` and `pieces` make several of what a user
asks for. The package can be called: shmkret.explore(...) is explore() of `library`, which asks `search` as the command line
does.

Then the users: `snapshot` (an arena's words) and `rehearsal/` (a user's plug-ins before they are measured).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Called(ModuleType):
    """A package that is a function, too. Its type is shmkret.explore.library.Explore, which is imported when it is called."""

    def __call__(self, *args: Any, **more: Any) -> Any:
        return importlib.import_module("shmkret.explore.library").explore(*args, **more)


sys.modules[__name__].__class__ = _Called
