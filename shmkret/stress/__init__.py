"""Stress: real processes suffer faults, and what must hold afterwards is checked.

A seed says which fault strikes next; where it strikes is up to Linux. What a run returns is a plain dict.

Read, in this order:
    spec          what shall go wrong, in one string
    session       one run, from its preparation to what it returns
    nemesis       rounds of faults, and the audit after each
    supervisor    the processes, how they begin and how they are buried
    stage         what every fault does with a death;    faults   what each does to CPUs at work
    shortage      too little of something, for a round;  damage   what is done to a quiet arena
    record        what was counted
    guests        processes that the run has not started
    crash_points  one process dies before each of its stores in turn
    unprotected   what a death does where nothing is recoverable

Always    CPUs, recoverers, guests and the supervisor share words while they live: every one of these is loaded and stored in
          order, by the supervisor through shmkret.machines.control
"""
