"""The states of a scene, as the plain executor of the explorer visits them without any short cut, told as stacks tell them.

A state is all shared words, who sleeps on a futex in which order, and for each CPU the step that it is about to do, the word,
and the number that a search has for all that it has read. Of the dead, nothing; of who has ended, that and the number.
"""

from functools import partial

import greenlet

from shmkret.arena.fields import fields_of
from shmkret.explore import monitors
from shmkret.explore.greenlets.libc import SLEPT_ON
from shmkret.explore.greenlets.machine import Cpu, ExploredMachine, Memory
from shmkret.explore.greenlets.run import Run
from shmkret.explore.scenario import Scenario
from shmkret.explore.snapshot import NOT_SHARED, Snapshot
from shmkret.explore.stacks import control
from shmkret.explore.stacks.executor import words_at
from shmkret.machines.compiled import watched
from shmkret.machines.compiled.models import TICK_NS
from shmkret.plugins.registry import find, names
from shmkret.text import atomics

ALL = (1 << 64) - 1
EBUSY, EOWNERDEAD = 16, 130
MONITORS = [find(monitors.MONITOR, name).module.watch for name in names(monitors.MONITOR)]


def signed(value):
    return (value & ALL) - ((value & 1 << 63) << 1)


def mix(value):
    value &= ALL
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & ALL
    value = (value ^ value >> 27) * 0x94D049BB133111EB & ALL
    return value ^ value >> 31


class Twin(ExploredMachine):
    """Each CPU has `doing`, the name of its step on stacks, and `read`, the number there of all that it has read."""

    def access(self, kind, words, i, **how):
        me = greenlet.getcurrent()
        if not isinstance(me, Cpu) or self._scheduler is None:
            return super().access(kind, words, i, **how)
        call = getattr(me, "call", "")
        me.doing = {"value": kind, "init": "mutex_init"}.get(kind, kind)
        if call.startswith(("mutex", "robust")) and "asleep" not in kind and "waking" not in kind:
            me.doing = call.replace("robust", "mutex")
        before = me.steps
        value = super().access(kind, words, i, **how)
        if me.steps != before:
            wakes = me.doing == "sem_post" or (call == "mutex_unlock" and value == SLEPT_ON)
            follows = self.may_die and wakes and self.sleepers.counts((words.column, i)) and not kind.endswith("waking")
            self.has_read(me, int(follows) or self.as_on_stacks(me.doing, call, value))
        return value

    def as_on_stacks(self, kind, call, value):
        """The value that a step has shown there."""
        if kind.endswith("waking"):
            return 0
        kind = {"asleep in sem_wait": "sem_wait"}.get(kind, kind)
        if kind in (
            "store",
            "store_relaxed",
            "store_release",
            "asleep",
            "futex_wake",
            "sem_reset",
            "mutex_unlock",
            "mutex_init",
            "sem_post",
        ):
            return 0
        if kind in ("sem_wait", "sem_trywait", "sem_wait_unless"):
            return int(value & 0xFFFFFFFF > 0)
        if call in ("mutex_lock", "mutex_trylock", "mutex_lock_unless"):  # asleep in them, too
            return 0 if value == 1 else EBUSY
        if call.startswith("robust"):
            return EBUSY if self.is_owned(value) else EOWNERDEAD if value else 0
        return value & 0xFFFFFFFF if kind == "futex_wait" else value

    @staticmethod
    def has_read(me, value):
        me.read = mix(getattr(me, "read", 0) * 31 + value + watched.UNLIKELY)

    def monotonic_ns(self):
        """A reading takes TICK_NS; who announces begins anew each time."""
        who = greenlet.getcurrent() if self._scheduler is not None else self
        who.ticks = getattr(who, "ticks", 0) + TICK_NS
        return who.ticks

    def alone(self, act):
        self.ticks = 0
        super().alone(act)

    def libc(self, name, *args):
        me = greenlet.getcurrent()
        me.call = name
        try:
            return super().libc(name, *args)
        finally:
            me.call = ""


class Greenlets:
    """The states of a scene, all of them, and its ends: `of_words` makes what words are into what they are on stacks."""

    def __init__(self, scene, columns, same=lambda column, values: values):
        self._scene = scene
        self._columns = columns
        self._same = same
        self._arena = scene.world.create_arena(scene.world.geometry(scene.nr_recoverers) if scene.nr_recoverers else None)
        scene.prepare(self._arena)
        self._snapshot = Snapshot(scene.world, self._arena, scene.shared)
        self.states = set()
        self._memory = Memory()
        self._visited = set()
        self._roads = [[]]
        while self._roads:
            self._follow(self._roads.pop())
        self._arena.close()

    def _follow(self, road):
        scene = self._scene
        machine = Twin(self._memory)
        with atomics.use(machine):
            k = self._snapshot.kernel(machine)
            bodies = [partial(scene.body, k, i) for i in range(scene.nr_cpus)]
            announce = (lambda i: scene.body(k, scene.nr_cpus + i)) if scene.announces else (lambda _: None)
            run = Run(machine, Scenario(bodies, list, scene.mortal, scene.deaths, announce, 0, scene.stops), MONITORS)
            try:
                run.begin(road)
                while (state := (run.state(), *(getattr(cpu, "read", 0) for cpu in machine.cpus))) not in self._visited:
                    self._visited.add(state)
                    self.states.add(self._told(machine, run))
                    choices = [] if run.wrong() else [*run.possible, *(run.deaths if run.possible else [])]
                    if not choices:
                        break
                    self._roads.extend([*run.schedule, choice] for choice in choices[1:])
                    run.go_on(choices[0])
            finally:
                run.stop()

    def _told(self, machine, run):
        def words_of(name):
            column = machine.column(name)
            section, _, field = name.rpartition(".")
            return self._same(name, self._snapshot._values[section, field] if column is None else column.values)

        def cpu(i):
            one, step = machine.cpus[i], run.pending[i]
            if one.killed or one.stopped:
                return None
            if step is None:
                return "done", "", signed(getattr(one, "read", 0))
            section, _, field = step.place[0].rpartition(".")
            return one.doing.split()[0], f"{section}[{step.place[1]}].{field}", signed(getattr(one, "read", 0))

        words = tuple(tuple(map(int, words_of(column))) for column in self._columns)
        return words, tuple(sorted(cpu - 1 for _, cpu in machine.sleepers._asleep)), tuple(map(cpu, range(self._scene.nr_cpus)))


def columns_of(stacks):
    """The columns of an arena that CPUs share, by their names."""
    private = NOT_SHARED - set(stacks.scene.shared)
    return {
        f"{name}.{field}": stacks.arena.records(name)[field]
        for name, section in stacks.arena.sections.items()
        for field in fields_of(section.record)
        if name not in private and f"{name}.{field}" not in private
    }


def told(stacks, columns, same=lambda column, values: values):
    """The state in which stacks stand."""

    def cpu(i):
        step = stacks.pending(i)
        read = words_at(stacks._record(i) + watched.PAST, 1).tolist()[0]
        if step.kind == "dead" or step.kind.startswith("stopped"):
            return None
        return ("done", "", read) if step.kind == "done" else (step.kind.split()[0], step.place, read)

    words = tuple(tuple(same(name, column.tolist())) for name, column in columns.items())
    queue = tuple(cpu for cpu, one in enumerate(words_at(stacks._control + watched.QUEUE, stacks.scene.nr_cpus)) if one)
    return words, queue, tuple(map(cpu, range(stacks.scene.nr_cpus)))


def states_of(stacks, columns, same=lambda column, values: values, **values):
    """All states that stacks visit. Words that were taken for one CPU's own are steps from then on."""
    while True:
        stacks.begin(every=1, by_past=1, **values)
        states = set()
        while (status := stacks.descend(1 << 40)) != control.FINISHED:
            if status == control.BROKEN and stacks.culprit()[1] == watched.NOT_PRIVATE:
                stacks.share({stacks.culprit()[2]})
                break
            assert status in (control.AT_STATE, control.AT_END, control.DEADLOCK, control.RACE), stacks.describe(status)
            if not stacks.get(control.PICKS):  # in the other executor it is one step with the choice who is woken
                states.add(told(stacks, columns, same))
        else:
            return states
