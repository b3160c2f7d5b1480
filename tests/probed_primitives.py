"""A worker program whose path's own functions may be probed; the probes are registered by the test."""

from shmkret.kernel import Kretprobe, call_and_return
from shmkret.moves.locking import HASH_LOCK, KFREE, SPIN_LOCK, SPIN_UNLOCK

PRIMITIVES = True
PRIMITIVE_PROBES = {"SPIN_LOCK": 1, "SPIN_UNLOCK": 2, "HASH_LOCK": 3, "KFREE": 4}


def nr_functions(nr_cpus):
    return 1


def probes(nr_cpus):
    own = [Kretprobe(1 + which, registered=False) for which in (SPIN_LOCK, SPIN_UNLOCK, HASH_LOCK, KFREE)]
    return [Kretprobe(0), *own, Kretprobe(0, registered=False)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
