"""A user's plug-ins before they are measured: a lock by itself, and the path of a worker.

Read `alone` with `trials` and `past` (a lock in a world of its own), `trial_text` and `trial_scenes` (the same trials,
compiled), `by_itself` (a user's lock, in all of these), `rehearse` (what `shmkret bench` and `shmkret.run()` ask for).
"""
