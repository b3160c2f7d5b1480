"""The host: what a process asks of Linux. It knows nothing of arenas or probes.

posix        semaphores, mutexes, and dying with the parent
signals      how a command ends when it is interrupted
topology     which cores we may use, and in which order
crew         one forked, pinned process a CPU, watched by its parent
processes    processes of machine code alone, and who watches them
ofd          bytes that are locked as long as their process lives
ptrace       a child is killed as it enters a system call
books        what the kernel's books say of a window of time
description  this computer, in words
"""
