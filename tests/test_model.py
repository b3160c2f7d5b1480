"""The path against a naive model: tasks that call, jump, return and die at random, while probes come and go.

The model keeps a number where the path keeps a list. Real text, one CPU, every index checked; the audit after every step.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from shmkret.arch import epilogue, prologue
from shmkret.arena.chains import FREE, THE_SLAB, walk
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.kernel.kprobes import call, enter, ret
from shmkret.kernel.kretprobes import kprobe_flush_task
from shmkret.kernel.registration import ENOMEM, register_kretprobe, unregister_probe
from shmkret.kernel.task import call_site, check_return, fork_task
from shmkret.text import atomics

from .worlds import ARCHS, SCHEMES, Explored, build_of

NR = 3
MAXACTIVE = 2
DEEPEST = 6
NUMBERS = st.integers(0, NR - 1)


@dataclass
class Frame:
    """One call: where it comes back to, the stack pointer there, and the registrations whose instances it holds."""

    ret_addr: int
    sp: int
    held: list = field(default_factory=list)


@dataclass
class Registration:
    """A probe from one register to the next unregister."""

    free: int = MAXACTIVE
    nmissed: int = 0
    alive: bool = True


class Tasks(RuleBasedStateMachine):
    scheme = "hashed"

    @initialize(arch=st.sampled_from(ARCHS), task_address=st.sampled_from(["slab", "ia64-stack"]))
    def boot(self, arch, task_address):
        # `spread` on three CPUs has three probes and three tasks; CPU 0 runs them all.
        build = build_of("spread", self.scheme, arch=arch, nr_cpus=NR)
        self.world = Explored(build, maxactive=MAXACTIVE, task_address=task_address)
        self.machine = ExploredMachine()
        self.k = self.world.snapshot.kernel(self.machine)
        self.stacks = [[] for _ in range(NR)]
        self.probes = [Registration() for _ in range(NR)]
        self.slab = 0
        self.n = 0

    def run(self, function, *args):
        with atomics.use(self.machine):
            return function(*args)

    def take(self, function):
        """What the model says of one probe that is hit."""
        probe = self.probes[function]
        if probe.alive and probe.free:
            probe.free -= 1
            return [probe]
        probe.nmissed += probe.alive
        return []

    def give_back(self, held):
        for probe in held:
            if probe.alive:
                probe.free += 1
            else:
                self.slab += 1

    @precondition(lambda self: any(len(stack) < DEEPEST for stack in self.stacks))
    @rule(task=NUMBERS, function=NUMBERS)
    def calls(self, task, function):
        if len(self.stacks[task]) == DEEPEST:
            return
        self.n += 1
        self.k.cpus.task[0] = task
        if self.stacks[task]:
            self.run(prologue, self.k.arch, self.k, task)
        frame = Frame(call_site(task, self.n), self.k.tasks.sp[task])
        self.run(call, self.k, 0, task, function, frame.ret_addr)
        frame.held = self.take(function)
        self.stacks[task].append(frame)

    @rule(task=NUMBERS, function=NUMBERS)
    def jumps(self, task, function):
        if self.stacks[task] and len(self.stacks[task][-1].held) < DEEPEST:
            self.k.cpus.task[0] = task
            self.run(enter, self.k, 0, task, function)
            self.stacks[task][-1].held += self.take(function)

    @rule(task=NUMBERS)
    def returns(self, task):
        if self.stacks[task]:
            frame = self.stacks[task].pop()
            self.k.cpus.task[0] = task
            self.run(ret, self.k, 0, task)
            self.run(check_return, self.k, 0, task, frame.ret_addr, frame.sp)
            if self.stacks[task]:
                self.run(epilogue, self.k.arch, self.k, task)
            self.give_back(frame.held)

    @rule(task=NUMBERS)
    def dies(self, task):
        self.k.cpus.task[0] = (task + 1) % NR
        self.run(kprobe_flush_task, self.k, 0, task)
        self.run(fork_task, self.k, task)
        for frame in self.stacks[task]:
            self.give_back(frame.held)
        self.stacks[task].clear()

    @rule(p=NUMBERS)
    def unregisters(self, p):
        if self.probes[p].alive:
            assert self.run(unregister_probe, self.k, 0, p) == 0
            self.slab += self.probes[p].free
            self.probes[p].alive = False

    @rule(p=NUMBERS)
    def registers(self, p):
        if not self.probes[p].alive:
            enough = self.slab >= MAXACTIVE
            assert self.run(register_kretprobe, self.k, 0, p) == (0 if enough else -ENOMEM)
            if enough:
                self.slab -= MAXACTIVE
                self.probes[p] = Registration()

    @invariant()
    def the_audit_finds_nothing_and_the_lists_are_as_long_as_the_model_says(self):
        assert self.world.snapshot.audit(self.machine, self.k, at_rest=False) == []
        arena = self.world.arena  # which the audit has filled in
        free = {one.number: one for listed in arena.lists if listed.kind == FREE for one in walk(arena, listed)}
        (slab,) = walk(arena, THE_SLAB)
        assert len(slab.order) == self.slab
        for p, probe in enumerate(self.probes):
            if probe.alive:
                assert len(free[p].order) == probe.free
                assert self.k.probes.nmissed.values[p] == probe.nmissed

    def teardown(self):
        if hasattr(self, "world"):
            self.world.arena.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_probe_is_taken_away_and_comes_again_while_a_call_is_in_it(scheme):
    machine = type("Tasks", (Tasks,), {"scheme": scheme})
    tasks = machine()
    tasks.boot(arch="x86-64", task_address="slab")
    steps = [(tasks.calls, 0, 0), (tasks.unregisters, 0), (tasks.registers, 0), (tasks.calls, 1, 0), (tasks.returns, 0)]
    for do, *arguments in [*steps, (tasks.returns, 1)] if scheme != "rfc" else [steps[0], steps[3], steps[4]]:
        do(*arguments)
        tasks.the_audit_finds_nothing_and_the_lists_are_as_long_as_the_model_says()
    tasks.teardown()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_sequence_of_calls_and_registrations_does_what_the_naive_model_says(scheme):
    """The seed too: its entry handlers refuse nothing here; but what it forgets when a task dies is lost."""
    machine = type("Tasks", (Tasks,), {"scheme": scheme})
    if scheme == "rfc":
        machine.unregisters = None
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40))


def test_the_model_catches_the_seeds_forgotten_orphans():
    machine = type("Tasks", (Tasks,), {"scheme": "rfc"})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine, settings=settings(max_examples=300, stateful_step_count=40, database=None, phases=[Phase.generate])
        )
