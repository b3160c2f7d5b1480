"""CPUs as stacks: the compiled text in one process, each access a call that hands the stack to the search.

Read `executor` (an arena, the stacks, and what a search needs), `described` (what is wrong, in sentences), `descent` with
`choices`, `sleepers`, `state` and `control` (a search depth first, as it is compiled itself), `watching` with `clocks` (what is
looked for beside), `messages` with `views` and `view_states` (release-acquire memory), `traces` with `conflicts`, `reversals`
and `nodes` (one run of each trace), `walks` (runs that are drawn at random), `looked_at` (what the check of an end reads),
`apart` with `sight` (in a process of its own).
"""
