"""The explorer: the same functions that run between processes, under every interleaving of their steps.

It promises that a search which says `complete` has tried every order of the CPUs' steps, deaths included; that it tells of
the first that goes wrong; and that the schedule which led there leads there again. Memory is sequentially consistent, and
relaxed accesses are, too: what a lock does wrong on weaker machines alone is not found. See `machine`.

Read `scenario` (what is explored, and what a search says of it), `steps` (what a CPU is about to do, and how a schedule names
it), `machine` (each access is a step) with `cpu`, `futex`, `line` and `libc` (what kernel and libc do; `promises` says what may
happen), `run` (the CPUs of one scenario along one schedule), `monitors` (what is asked before every step), `engines` (which
schedules are tried), `schedule` (explore(): all of it together). `clock` says how time passes, `bounded` what becomes of code
that runs on.

Read then the same search of compiled code, which is a thousand times faster: `scene` (what CPUs do, written as the text),
`stacks` (each CPU a stack in this process), `descent` with `choices` and `control` (a search depth first, as it is compiled
itself), `looked_at` (what the check of an end reads), `engines/states` (what leads it), `scenarios` (what `shmkret explore`
searches), `apart` with `sight` (in a process of its own), `lanes`, `strings` and `followed` (a failure: shown, kept, and
followed on greenlets to its lines).

Then the users of both: `snapshot` (an arena's words), `alone` with `trials` and `past` (a lock in a world of its own),
`trial_text` and `trial_scenes` (the same trials, compiled), `by_itself` (a user's lock, in all of these), `rehearsal` (a
user's plug-ins before they are measured).
"""
