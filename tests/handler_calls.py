"""A worker program: the entry handler calls another probed function, which is missed."""

from shmkret.kernel import Kretprobe, call_and_return


def calls_another(k, cpu, task, ri):
    call_and_return(k, cpu, task, 1, 0)
    return 0


def probes(nr_cpus):
    return [Kretprobe(0, calls_another), Kretprobe(1)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
