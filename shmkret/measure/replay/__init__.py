"""A recording, done again: its tasks run on other CPUs, and their system calls are calls of probed functions.

Read `program` (a recording as the words that the text reads), `text` (the worker program that reads them), `run` (one run, from
its arena to its times).
"""
