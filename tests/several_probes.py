"""A worker program with three probes on one function, whose return handlers count."""

from shmkret.kernel import Kretprobe, call_and_return, data_at

DATA_SIZE = 8


def enters(k, cpu, task, ri):
    k.data.word[data_at(k, ri)] = 0
    return 0


def counts(k, cpu, task, ri):
    k.data.word[data_at(k, ri)] += 1
    k.cpus.switches[cpu] += 1


def probes(nr_cpus):
    return [Kretprobe(0, enters, counts) for _ in range(3)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
