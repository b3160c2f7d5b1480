"""Loops are compiled in a process of their own, which keeps the machine code in the cache.

A loop leaves 35 MB in the process that compiles it, and tests fork thousands of processes: a fork copies the page tables of
all of that. What is run is the same code, from the cache, as in anybody's second run.
"""

import os
import signal

from shmkret.host.posix import fork_child
from shmkret.machines import compiled

compile_here = compiled.compile_cpu


def compile_apart(loop_of, shape, strides, folder, **how):
    """compile_cpu(), in a child first. What is wrong with the text is said by the second call, here."""
    if folder is not None and not folder.exists():

        def body():
            compile_here(loop_of, shape, strides, folder, **how)
            return 0

        pid = fork_child(body)
        try:
            os.waitpid(pid, 0)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
    return compile_here(loop_of, shape, strides, folder, **how)
