"""The explorer: the same functions that run between processes, under every interleaving of their steps.

It promises that a search which says `complete` has tried every order of the CPUs' steps, deaths included; that it tells of
the first that goes wrong; and that the schedule which led there leads there again. Memory is sequentially consistent, and
relaxed accesses are, too: what a lock does wrong on weaker machines alone is not found. See `machine`.

Read `scenario` (what is explored, and what a search says of it), `machine` (each access is a step) with `libc` (what libc's
calls do), `run` (the CPUs of one scenario along one schedule), `monitors` (what is asked before every step), `engines` (which
schedules are tried), `schedule` (explore(): all of it together). Of compiled code: `scene`, `stacks`, `descent` with `choices`
and `control`, `scenarios` (scenes by name), `apart` (a search in a process of its own) with `sight`, `lanes`, `places` and
`strings` (what is said of a schedule). Then its users: `snapshot` (an arena's words), `alone` (a
lock by itself), `rehearsal` (a user's plug-ins before they are measured).
"""
