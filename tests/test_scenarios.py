"""The kernel's own test scenarios, and those that history adds, on every scheme and architecture.

tests/scenarios.py runs them and checks as it goes, compiled and plain; what it reports ends a run. Here are the runs, what each
scheme is expected to leave behind, and the scenarios that need every interleaving.
"""

from functools import partial

import pytest

from shmkret.arena.hashing import NR_BUCKETS, hash_ptr
from shmkret.arena.records import BLOCKED
from shmkret.audit.checks import audit
from shmkret.audit.findings import sentences
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel import task as probes
from shmkret.kernel.cpu import one_round
from shmkret.kernel.irq import raise_irq
from shmkret.kernel.kprobes import call, ret
from shmkret.kernel.kretprobes import kprobe_flush_task
from shmkret.kernel.rcu import idle_enter, idle_exit, synchronize_sched
from shmkret.kernel.registration import register_kretprobe, unregister_probe, unregister_probes
from shmkret.kernel.sched import block, schedule, wake
from shmkret.kernel.task import call_and_return
from shmkret.machines import plain
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.measure.cell import Cell, Sample
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves import oracle
from shmkret.moves.irqflags import poll
from shmkret.schemes import global_, hashed
from shmkret.text import atomics
from shmkret.text.atomics import EQ, NIL, load_acquire, store_release, wait_until

from .conftest import needs_two_cores
from .worlds import ARCHS, HERE, SCHEMES, Explored, build_of, one_round_each

SCENARIOS = str(HERE / "scenarios.py")
PRIMITIVES = HERE / "probed_primitives.py"
QUICK = {("hashed", "ia64")}
LOST = {"global": [], "hashed": [], "objpool": [], "rfc": [
    "5 instances lost, such as instance 60", "probe 9 has 0 free instances and 0 in flight, and its maxactive is 4"
]}  # fmt: skip
"""The seed burns the four instances of the refusing probe, and forgets the orphan of a task that died."""


@pytest.mark.parametrize(
    ("scheme", "arch"),
    [
        # Ten seconds of compiling each: each architecture, and each scheme, with `full`; every pair with `record`.
        pytest.param(
            scheme,
            arch,
            marks=[] if (scheme, arch) in QUICK else pytest.mark.full if i == j % len(SCHEMES) else pytest.mark.record,
        )
        for i, scheme in enumerate(SCHEMES)
        for j, arch in enumerate(ARCHS)
    ],
)
def test_the_kernels_scenarios_compiled(scheme, arch):
    prepared = Prepared(Cell(SCENARIOS, scheme, "ttas", arch, "cacheline", 1), seed=1)
    prepared.sizes = Sizes()
    sample = Sample()
    with pytest.MonkeyPatch.context() as patch:
        # The rehearsal is for plug-ins that nobody has looked at; it explores what takes a second a round.
        patch.setattr("shmkret.measure.subjects.kretprobes.rehearse", lambda *_: prepared.rehearsal)
        prepared.compile()
        sample = prepared.repeat(0.02, warm_up=0.0)

    assert list(sample.flaws) == [f"audit: {what}" for what in LOST[scheme]]
    assert sample.counts["calls"] > 0
    assert sample.counts["grace_periods"] > 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("arch", ARCHS)
def test_the_kernels_scenarios_plain(scheme, arch):
    build = build_of(SCENARIOS, scheme, arch=arch, nr_cpus=1)
    machine = plain.PlainMachine(build.common_cache())
    world = World.of(build)
    with world.create_arena() as arena, atomics.use(machine):
        k = plain.kernel(world, arena)
        for n in range(2):
            one_round(k, 0, 0, n)
        bugs = arena.records("cpus")[["bug", "bug_seen", "bug_expected"]].tolist()

        assert [f"{oracle.BUGS[bug]}: {seen}, not {expected}" for bug, seen, expected in bugs if bug] == []
        assert sentences(audit(arena, build.scheme)) == LOST[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_task_of_sparc64_goes_on_at_the_instruction_after_that_too(scheme):
    """regs->tnpc: nothing here fetches it, where the machine would."""
    build = build_of("hot", scheme, arch="sparc64", nr_cpus=1)
    world = World.of(build)
    with world.create_arena() as arena, atomics.use(plain.PlainMachine(build.common_cache())):
        k = plain.kernel(world, arena)
        one_round(k, 0, 0, 0)
        tasks = arena.records("tasks")[["pc", "npc"]].tolist()

    assert [npc for pc, npc in tasks if pc] == [pc + 4 for pc, _ in tasks if pc] != []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scenario_that_goes_wrong_is_reported(scheme, monkeypatch):
    """The checks of scenarios.py are checks: with a handler that notes something else, the first of them goes red."""
    build = build_of(SCENARIOS, scheme, nr_cpus=1)
    monkeypatch.setattr(build.declared.handlers, "entries", (lambda *_: 0, *build.declared.handlers.entries[1:]))
    machine = plain.PlainMachine(build.common_cache())
    world = World.of(build)
    with world.create_arena() as arena, atomics.use(machine):
        one_round(plain.kernel(world, arena), 0, 0, 0)

        assert arena.records("cpus")["bug"].tolist() == [oracle.WORKER_BUG]


# Unregistering beside a call, every interleaving.


def churned(scheme: str, bugs=(), arch="x86-64"):
    """One CPU calls a probed function, the other unregisters its probe."""
    with Explored(build_of("hot", scheme, arch=arch, bugs=bugs), shared=REGISTRATION, maxactive=1) as world:

        def bodies(k):
            def calls():
                probes_in_round(k, 0, lambda: call_and_return(k, 0, 0, 0, 0))

            def unregisters():
                probes_in_round(k, 1, lambda: unregister_probe(k, 1, 0))

            return [calls, unregisters]

        return world.explore(bodies)


def probes_in_round(k, cpu, body):
    idle_exit(k, cpu)
    k.cpus.task[cpu] = cpu
    body()
    idle_enter(k, cpu)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unregistering_beside_a_call_is_right_under_every_interleaving(scheme):
    outcome = churned(scheme)

    assert (outcome.violations, outcome.complete) == ([], True)
    assert outcome.states > 100


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unregistering_without_a_grace_period_is_caught(scheme):
    """The limbo between taking an instance and hanging it: nobody but the grace period knows of it."""
    assert churned(scheme, bugs=["no-grace-period"]).violations


@pytest.mark.parametrize("scheme", ["global", "objpool"])
def test_two_cpus_that_unregister_do_not_wait_for_each_other(scheme):
    """Not under `hashed`: the scan of 64 buckets, twice, has too many interleavings, and no part in the question."""
    with Explored(build_of("spread", scheme), shared=REGISTRATION, maxactive=1) as world:
        outcome = world.explore(lambda k: [partial(probes_in_round, k, i, partial(unregister_probe, k, i, i)) for i in (0, 1)])

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_of_two_cpus_that_unregister_a_probe_one_takes_it_apart(scheme, monkeypatch):
    """CPU 1 has a second probe of its own, so that it goes on to take apart what is leaving. No call is in flight."""
    monkeypatch.setattr(hashed, "NR_BUCKETS", 1)
    with Explored(build_of("spread", scheme), shared=REGISTRATION, maxactive=1) as world:
        ranges = [(0, 1), (0, 2)]
        outcome = world.explore(
            lambda k: [partial(probes_in_round, k, i, partial(unregister_probes, k, i, *ranges[i])) for i in (0, 1)]
        )

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_of_two_cpus_that_register_a_probe_one_does(scheme):
    with Explored(build_of(PRIMITIVES, scheme), shared=REGISTRATION, maxactive=1) as world:
        errors = []

        def bodies(k):
            def registers(i):
                errors.append(register_kretprobe(k, i, 5))

            return [partial(probes_in_round, k, i, partial(registers, i)) for i in (0, 1)]

        outcome = world.explore(bodies)

    assert (outcome.violations, outcome.complete) == ([], True)
    assert sorted(set(errors)) == [-22, 0]


def test_whoever_sleeps_inside_a_probe_is_reported():
    """An interrupt on the entry path that registers a probe would declare its CPU quiescent while an instance is in limbo."""
    with Explored(build_of("interrupts", "hashed", nr_cpus=1), shared=REGISTRATION, data_size=8) as world:

        def bodies(k):
            def sleeps():
                k.cpus.current_kprobe[0] = 0
                synchronize_sched(k, 0)
                k.cpus.current_kprobe[0] = -1

            return [partial(probes_in_round, k, 0, sleeps)]

        outcome = world.explore(bodies)

    assert [v.what for v in outcome.violations] == [f"cpu 0: {oracle.BUGS[oracle.MAY_NOT_SLEEP]}"]


def test_no_wakeup_is_lost_between_deciding_to_block_and_sleeping():
    """CPU 0 puts its task to sleep, CPU 1 wakes it: in the end it is on a queue, or runs."""
    with Explored(build_of("hot", "hashed"), shared=REGISTRATION) as world:

        def bodies(k):
            def sleeps():
                k.cpus.task[0] = schedule(k, 0, NIL)
                block(k, 0)
                store_release(k.runqueues.irq, 0, 1)
                schedule(k, 0, k.cpus.task[0])

            def wakes():
                wait_until(k.runqueues.irq, 0, EQ, 1)
                wake(k, 1, 0)

            return [sleeps, wakes]

        states = []
        outcome = world.explore(bodies, at_rest=False, after=lambda k: states.append(load_acquire(k.entities.state, 0)))

    assert outcome.complete
    assert outcome.violations == []
    assert states
    assert BLOCKED not in states


# What lies in one bucket, or on one function, and must not be taken for something else.


def stepped(scheme, worker, body, **sizes):
    """One CPU alone, step by step; `body(k, arena)` gives back what it wants to be looked at."""
    with Explored(build_of(worker, scheme, nr_cpus=1), shared=REGISTRATION, **sizes) as world:
        machine = ExploredMachine()
        k = world.snapshot.kernel(machine)
        with atomics.use(machine):
            idle_exit(k, 0)
            k.cpus.task[0] = 0
            seen = body(k)
            assert world.snapshot.audit(machine, k, at_rest=True) == []
        return seen


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_unregistering_one_of_several_probes_leaves_the_others(scheme, gone):
    def body(k):
        assert unregister_probe(k, 0, gone) == 0
        call_and_return(k, 0, 0, 0, 0)
        return k.cpus.hits[0], k.cpus.switches[0]

    assert stepped(scheme, HERE / "several_probes.py", body) == (2, 2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_return_walks_past_the_instances_of_another_task(scheme):
    def body(k):
        k.tasks.address[1] = k.tasks.address[0]
        call(k, 0, 0, 0, 7)
        call(k, 0, 1, 0, 8)
        ret(k, 0, 0)
        returned = k.cpus.returns[0], k.cpus.switches[0], k.cpus.walked[0], k.tasks.pc[0]
        ret(k, 0, 1)
        return returned

    walked = 3 if scheme == "objpool" else 6  # there each task has a list of its own
    assert stepped(scheme, HERE / "several_probes.py", body, tasks=2) == (3, 3, walked, 7)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bucket", [0, NR_BUCKETS - 1])
def test_unregistering_finds_calls_in_flight_in_every_bucket(scheme, bucket):
    def body(k):
        address = k.tasks.address[0]
        while hash_ptr(address, k.hash_multiplier) != bucket:
            address += 64
        k.tasks.address[0] = address
        call(k, 0, 0, 0, 7)
        for p in range(3):
            assert unregister_probe(k, 0, p) == 0
        ret(k, 0, 0)
        return k.cpus.returns[0], k.cpus.switches[0], k.tasks.pc[0]

    assert stepped(scheme, HERE / "several_probes.py", body) == (3, 0, 7)


# Refusals: the double unlock lets two in.


@pytest.mark.parametrize("scheme", ["global", "hashed"])
def test_a_double_unlock_is_caught(scheme):
    """One CPU's entry handler refuses, the other's call goes on; the extra unlock releases the other's lock."""
    broken = one_round_each(HERE / "refuse_one.py", scheme, bugs=["double-unlock"], maxactive=2)

    assert broken.violations
    assert "lost" not in broken.violations[0].what


@pytest.mark.parametrize("scheme", ["global", "hashed", "objpool"])
def test_refusals_beside_calls_are_right_under_every_interleaving(scheme):
    outcome = one_round_each(HERE / "refuse_one.py", scheme, maxactive=1)

    assert (outcome.violations, outcome.complete) == ([], True)


def test_the_seed_loses_an_instance_at_a_refusal():
    outcome = one_round_each(HERE / "refuse_one.py", "rfc", nr_cpus=1, maxactive=1)

    assert "1 instances lost" in outcome.violations[0].what


# Probes on the path's own functions.


def primitive_probed(scheme: str, arch: str, function: str, body, bugs=()) -> list[str]:
    """One CPU alone, with a kretprobe on one of the path's own functions; what is wrong in the end."""
    build = build_of(PRIMITIVES, scheme, arch=arch, nr_cpus=1, bugs=bugs)
    p = build.worker.module.PRIMITIVE_PROBES[function]
    with Explored(build, shared=REGISTRATION, maxactive=4) as world:
        errors = []

        def bodies(k):
            def run():
                errors.append(register_kretprobe(k, 0, p))
                body(k)

            return [partial(probes_in_round, k, 0, run)]

        outcome = world.explore(bodies)
        return [v.what for v in outcome.violations] + [f"register: {error}" for error in errors if error]


def a_call(k):
    call_and_return(k, 0, 0, 0, 0)


def a_death(k):
    call(k, 0, 0, 0, 1)
    kprobe_flush_task(k, 0, 0)
    probes.fork_task(k, 0)


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("function", ["SPIN_LOCK", "SPIN_UNLOCK", "KFREE"])
@pytest.mark.parametrize("body", [a_call, a_death])
def test_hashed_counts_probes_on_its_own_functions_as_missed(function, arch, body):
    assert primitive_probed("hashed", arch, function, body) == []


@pytest.mark.parametrize("function", ["SPIN_LOCK", "SPIN_UNLOCK", "HASH_LOCK", "KFREE"])
@pytest.mark.parametrize("body", [a_call, a_death])
def test_objpool_calls_none_of_its_own_functions_while_it_would_wait_for_them(function, body):
    refused = ["register: -22"] if function == "HASH_LOCK" else []

    assert primitive_probed("objpool", "x86-64", function, body) == refused


def test_hashed_refuses_a_probe_on_its_lock_helper():
    assert primitive_probed("hashed", "x86-64", "HASH_LOCK", a_call) == ["register: -22"]


@pytest.mark.parametrize(
    ("arch", "function", "body"),
    [
        ("x86-64", "SPIN_LOCK", a_call),  # unmarked-walk
        ("arm", "SPIN_LOCK", a_call),
        ("x86-64", "HASH_LOCK", a_call),  # probeable-helpers
        ("x86-64", "SPIN_LOCK", a_death),  # unmarked-flush
        ("powerpc", "SPIN_LOCK", a_death),
        ("powerpc", "SPIN_UNLOCK", a_call),  # early-reset
        ("s390", "SPIN_UNLOCK", a_call),
        ("ia64", "SPIN_UNLOCK", a_call),
        ("sparc64", "SPIN_UNLOCK", a_call),
    ],
)
@pytest.mark.parametrize("scheme", ["global", "rfc"])
def test_the_kernels_of_the_time_wait_for_themselves(scheme, arch, function, body):
    if (scheme, function) == ("global", "HASH_LOCK"):
        assert primitive_probed(scheme, arch, function, body) == []  # one lock: there is no such helper yet
        return
    wrong = primitive_probed(scheme, arch, function, body)

    assert any("deadlock" in what for what in wrong), wrong


def unregisters_inside(k):
    call(k, 0, 0, 0, 1)
    unregister_probe(k, 0, 0)
    ret(k, 0, 0)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("arch", ["powerpc", "x86-64"])
def test_a_probe_on_kfree_is_safe_because_no_lock_is_held(scheme, arch):
    assert primitive_probed(scheme, arch, "KFREE", unregisters_inside) == []


@pytest.mark.parametrize("function", ["SPIN_LOCK", "SPIN_UNLOCK"])
@pytest.mark.parametrize("arch", ["powerpc", "x86-64"])
def test_unregistering_walks_on_a_cpu_that_is_marked_busy(arch, function):
    assert primitive_probed("hashed", arch, function, unregisters_inside) == []
    unmarked = primitive_probed("hashed", arch, function, unregisters_inside, bugs=["unmarked-cleanup"])
    assert any("deadlock" in what for what in unmarked), unmarked


# Interrupts at every place.

POLLS = 24
OUTCOMES = {(1, 2, 0): "h", (1, 1, 1): "m", (0, 1, 0): "-"}
"""Interrupts, hits, and calls missed: what the interrupt calls is hit; is missed, since a handler is running; none has come."""
PLACES = {
    "global": {"arm": "hhhhhh", "x86": "hmmhhh", "trap": "hmmhmh"},
    "hashed": {"arm": "hhhhmm", "x86": "hmmmmhmm", "trap": "hmmmmhmm"},
    "objpool": {"arm": "hhhhmm", "x86": "hmmhmm", "trap": "hmmhmm"},
    "rfc": {"arm": "hhhhhh", "x86": "hmmmmhhh", "trap": "hmmmmhmh"},
}
"""Of a call and its return: at which polls an interrupt comes, and what becomes of its own call.

Before the breakpoint it is hit, inside the entry missed; on arm, whose breakpoint masks interrupts, it comes before or after.
A return through a trap is inside a probe until its end; one that is called is so where the walk is marked, as by `hashed` and
`objpool`. Under a lock none comes: where there is one, the poll is before it is taken, or after.
"""


def call_interrupted_at(polls):
    """One CPU's call, with an interrupt at the n-th poll."""

    def bodies(k):
        def run():
            raise_irq(k, 0, polls)
            call_and_return(k, 0, 0, 0, 0)

        return [partial(probes_in_round, k, 0, run)]

    return bodies


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_interrupt_at_every_place_of_a_call_comes_back_right(scheme, arch):
    """Raised to come at the n-th poll, for every n."""
    build = build_of("interrupts", scheme, arch=arch, nr_cpus=1)
    came = ""
    for polls in range(1, POLLS):
        with Explored(build, data_size=8) as world:
            outcome = world.explore(call_interrupted_at(polls))
            assert (outcome.violations, outcome.complete) == ([], True), polls
            cpus, records = world.arena.records("cpus"), world.arena.records("probes")
            came += OUTCOMES[int(cpus["irqs"][0]), int(cpus["hits"][0]), int(records["kp_nmissed"][1])]

    kind = "x86" if arch.startswith("x86") else "arm" if arch == "arm" else "trap"
    assert came == PLACES[scheme][kind].ljust(POLLS - 1, "-")


def test_an_interrupt_under_a_lock_would_be_found(monkeypatch):
    """The control: without the flag, an interrupt comes under a lock, and its probed call waits for that lock."""
    monkeypatch.setattr("shmkret.kernel.irq.Enabled.irqsave_held", lambda self, k, cpu: None)
    monkeypatch.setattr("shmkret.kernel.irq.Enabled.irqrestore_held", lambda self, k, cpu: None)
    build = build_of("interrupts", "global", nr_cpus=1)
    real = global_.unlink_used
    monkeypatch.setattr(global_, "unlink_used", lambda *move: (poll(move[1].mode.irq, move[1], 0), real(*move)))
    wrong = []
    for polls in range(1, POLLS):
        with Explored(build, data_size=8) as world:
            wrong += [v.what for v in world.explore(call_interrupted_at(polls)).violations]

    assert any("deadlock" in what for what in wrong)


# A wrong reaper, a racy counter, a handler that is not marked.


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_reaper_that_flushes_its_own_task_is_caught(scheme):
    def wrong(bugs):
        with Explored(build_of("hot", scheme, nr_cpus=1, bugs=bugs), tasks=2) as world:

            def bodies(k):
                def run():
                    call(k, 0, 1, 0, 77)  # task 1 will die inside
                    call(k, 0, 0, 0, 78)  # task 0, which reaps it, is inside itself
                    kprobe_flush_task(k, 0, 1)
                    probes.fork_task(k, 1)
                    ret(k, 0, 0)

                return [partial(probes_in_round, k, 0, run)]

            return world.explore(bodies).violations

    assert wrong([]) == []
    assert wrong(["flush-current"])


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_a_handler_that_calls_a_probed_function_needs_current_kprobe(scheme):
    """Without the check at run time, an interrupt on the entry path runs through a probe of its own; when it is back,
    current_kprobe is gone, and the handler of the outer probe runs on a CPU that counts as idle."""

    def seen(bugs):
        found = []
        for polls in range(1, POLLS):
            with Explored(build_of(HERE / "handler_and_irq.py", scheme, nr_cpus=1, bugs=bugs)) as world:
                found += [violation.what for violation in world.explore(call_interrupted_at(polls)).violations]
        return found

    assert seen([]) == []
    assert f"cpu 0: {oracle.BUGS[oracle.NOT_BUSY]}" in seen(["no-reentrancy-check"])


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_a_racy_count_of_missed_hits_is_caught(scheme):
    """Two CPUs inside handlers that call one probed function."""
    sound = one_round_each(HERE / "handler_calls.py", scheme)
    racy = one_round_each(HERE / "handler_calls.py", scheme, bugs=["racy-nmissed"])

    assert (sound.violations, sound.complete) == ([], True)
    assert "data race" in racy.violations[0].what


def test_a_single_pass_on_ia64_shows_handlers_the_trampoline():
    """One round of scenarios.py, whose handler looks for the caller on two-pass architectures."""
    build: Build = build_of(SCENARIOS, "hashed", arch="ia64", nr_cpus=1, bugs=["single-pass"])
    machine = plain.PlainMachine(build.common_cache())
    world = World.of(build)
    with world.create_arena() as arena, atomics.use(machine):
        one_round(plain.kernel(world, arena), 0, 0, 0)

        assert arena.records("cpus")["bug"].tolist() == [oracle.WORKER_BUG]


@needs_two_cores
def test_the_interrupted_path_compiled_misses_what_hits_it_inside_a_probe():
    prepared = Prepared(Cell("interrupts", "hashed", "ttas", "x86-64", "cacheline", 2), seed=1)
    prepared.compile()
    sample = prepared.repeat(0.2, warm_up=0.0)

    assert sample.flaws == ()
    assert sample.counts["irqs"] > 0
    assert sample.counts["kp_nmissed"] > 0
