"""A worker program in which CPU 0 alone takes its probe away and puts it back; the others only call, and are never idle."""

from shmkret.kernel import Kretprobe, call_and_return, register_kretprobe, unregister_probe


def probes(nr_cpus):
    return [Kretprobe(function) for function in range(nr_cpus)] + [Kretprobe(0, registered=False)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, n % k.nr_cpus, n)
    if cpu == 0 and n % 256 == 255 and unregister_probe(k, cpu, 0) == 0:
        register_kretprobe(k, cpu, 0)
