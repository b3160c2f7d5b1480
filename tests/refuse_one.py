"""A worker program: the entry handler refuses the calls of CPU 0."""

from shmkret.kernel import Kretprobe, call_and_return


def refuses_cpu_0(k, cpu, task, ri):
    return int(cpu == 0)


def probes(nr_cpus):
    return [Kretprobe(0, refuses_cpu_0)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
    if cpu == 0:
        call_and_return(k, cpu, task, 0, n + 1)
