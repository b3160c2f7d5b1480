"""death: each CPU calls a probed function; CPU 0 may die before any of its steps, and what it left is recovered.

    script.word[0]    how many CPUs have ended or died, + TURN * the recoverers before the one whose turn it is

With more deaths than one, a recoverer may die at any of its steps, too: the next starts over. The last one does not die.
"""

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.sched import schedule
from shmkret.kernel.task import call_and_return
from shmkret.moves.intents import begin_wait
from shmkret.recovery import recoverer as recovery
from shmkret.recovery.taking import LIVE
from shmkret.text.atomics import NE, NIL, exchange, fetch_add, load_acquire, store_release, wait_until
from shmkret.text.marks import inline

DEATHS = 1
TURN = 256


def scene(asked: Asked) -> Scene:
    """`rounds` calls a CPU, and a recoverer for each death."""
    cpus, rounds, nr_recoverers = asked.cpus, asked.rounds, max(1, asked.deaths)
    everybody = cpus + nr_recoverers

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu < cpus:
            calls(k, cpu)
        elif cpu < everybody:
            recovers(k, cpu)
        else:
            recovery.announce(k, cpu - everybody)
            fetch_add(k.script.word, 0, 1 if cpu - everybody < cpus else TURN)

    @inline
    def calls(k: Kernel, cpu: int) -> None:
        schedule(k, cpu, NIL)
        for n in range(rounds):
            call_and_return(k, cpu, k.cpus.task[cpu], 0, n)
        begin_wait(k.mode.recovery, k, cpu)
        fetch_add(k.script.word, 0, 1)

    @inline
    def recovers(k: Kernel, cpu: int) -> None:
        turn = TURN * (cpu - cpus)
        seen = 0
        if turn > 0:
            while seen < turn:
                wait_until(k.script.word, 0, NE, seen)
                seen = load_acquire(k.script.word, 0)
            store_release(k.recovery.life, cpu, LIVE)
            if exchange(k.run.deaths, 0, 0) != 0:
                recovery.recover(k, cpu)
        while seen % TURN < cpus:
            wait_until(k.script.word, 0, NE, seen)
            seen = load_acquire(k.script.word, 0)  # before the deaths: who is counted has been announced
            if exchange(k.run.deaths, 0, 0) != 0:
                recovery.recover(k, cpu)
        fetch_add(k.script.word, 0, TURN)

    def prepare(arena: Arena) -> None:
        arena.records("recovery")["life"][: cpus + 1] = LIVE
        arena.records("runqueues")["quiescent"] = 0
        arena.records("script")["word"][0] = 0

    return Scene(
        f"death-{cpus}-{rounds}-{nr_recoverers}",
        asked.world(recoverable=True),
        body,
        everybody,
        ("cpus", "script"),
        mortal=(0, *range(cpus, everybody - 1)),
        deaths=asked.deaths,
        announces=True,
        nr_recoverers=nr_recoverers,
        prepare=prepare,
    )
