"""CPUs as greenlets: the text in plain Python, each access a step under the scheduler, with models of kernel and libc.

Read `steps` (what a CPU is about to do, and how a schedule names it), `machine` (each access is a step) with `column`, `cpu`,
`futex`, `line` and `libc` (what kernel and libc do; `promises` says what may happen), `run` (the CPUs of one scenario along one
schedule). `clock` says how time passes, `bounded` what becomes of code that runs on, `places` where code stands.
"""
