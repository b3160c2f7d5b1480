"""Recordings of what a program asked of the kernel: system calls, switches, wake-ups, forks and exits of all its tasks.

Read `recording` (what one is, and when it is whole), `lines` (the text that tracefs and perf print, as events), `tracefs` (an
instance of the kernel's tracing, which is gone afterwards), `record` (a command, run and recorded).
"""
