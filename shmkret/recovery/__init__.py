"""Recovery: what is done when a CPU has died, as text like the rest.

Read `recoverer` (the states of a slot, and what is taken back), `taking` (how a lock is taken so that its holder may die,
and how it is freed), `all_locks` (every lock, one after the other), `redo` (how the move of the dead is finished).
"""
