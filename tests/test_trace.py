"""Recordings: what tracefs and perf print is read, what does not fit is named, and who waits for whom is told."""

import json
import os
import re
import signal
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from shmkret.cli.main import main
from shmkret.errors import RecordingError, RunFailed, UnfitMachine, UsageError
from shmkret.trace import tracefs
from shmkret.trace.lines import recorded
from shmkret.trace.record import names_of_calls, record
from shmkret.trace.recording import BLOCK, COLUMNS, ENTER, EXIT, FORK, IRQ, NOBODY, RETURN, WAKE, YIELD, Recording
from shmkret.trace.summary import lines as summary_lines
from shmkret.trace.summary import spent, summary
from shmkret.trace.tracefs import instance
from shmkret.trace.waits import waits_of

HEAD = {
    "nr_cpus": 2,
    "syscalls": {"0": "read", "1": "write", "39": "getpid", "56": "clone", "61": "wait4", "231": "exit_group"},
}
TRACEFS = """\
# tracer: nop
         make x-10     [000] .....     1.000000: sys_enter: NR 56 (1, 2, 3, 4, 5, 6)
         make x-10     [000] .....     1.000010: sched_process_fork: comm=make x pid=10 child_comm=make x child_pid=20
         make x-10     [000] .....     1.000015: sys_exit: NR 56 = 20
           <...>-20    [001] .....     1.000030: sys_exit: NR 56 = 0
         make x-10     [000] .....     1.000040: sys_enter: NR 61 (ffffffff, 2, 3, 4, 5, 6)
          bash-7       [001] .....     1.000041: sys_enter: NR 0 (1, 2, 3, 4, 5, 6)
         make x-10     [000] d..2.     1.000050: sched_switch: prev_comm=make x prev_pid=10 prev_prio=120 prev_state=S ==> \
next_comm=swapper/0 next_pid=0 next_prio=120
           cc1-20      [001] .....     1.000060: sys_enter: NR 0 (1, 2, 3, 4, 5, 6)
           cc1-20      [001] d..2.     1.000065: sched_switch: prev_comm=cc1 prev_pid=20 prev_prio=120 prev_state=D ==> \
next_comm=swapper/1 next_pid=0 next_prio=120
        <idle>-0       [001] d.h4.     1.000165: sched_waking: comm=cc1 pid=20 prio=120 target_cpu=001
        <idle>-0       [001] d..2.     1.000170: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> \
next_comm=cc1 next_pid=20 next_prio=120
           cc1-20      [001] .....     1.000175: sys_exit: NR 0 = 5
           cc1-20      [001] d..2.     1.000180: sched_switch: prev_comm=cc1 prev_pid=20 prev_prio=120 prev_state=R+ ==> \
next_comm=kworker/1:1 next_pid=33 next_prio=120
   kworker/1:1-33      [001] d..2.     1.000190: sched_switch: prev_comm=kworker/1:1 prev_pid=33 prev_prio=120 prev_state=I \
==> next_comm=cc1 next_pid=20 next_prio=120
           cc1-20      [001] .....     1.000200: sys_enter: NR 231 (1, 2, 3, 4, 5, 6)
           cc1-20      [001] .....     1.000205: sched_process_exit: comm=cc1 pid=20 prio=120
           cc1-20      [001] d..3.     1.000210: sched_waking: comm=make x pid=10 prio=120 target_cpu=000
           cc1-20      [001] d..2.     1.000220: sched_switch: prev_comm=cc1 prev_pid=20 prev_prio=120 prev_state=Z ==> \
next_comm=swapper/1 next_pid=0 next_prio=120
        <idle>-0       [000] d..2.     1.000225: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> \
next_comm=make x next_pid=10 next_prio=120
         make x-10     [000] .....     1.000230: sys_exit: NR 61 = 20
"""
"""A task forks another and waits for it; that one reads, is preempted, and ends."""
EVENTS = [
    (ENTER, 0, 0, 56, 0),
    (FORK, 0, 0, 1, 10),
    (RETURN, 0, 0, 56, 5),
    (RETURN, 1, 1, 56, 15),
    (ENTER, 0, 0, 61, 10),
    (BLOCK, 0, 0, NOBODY, 10),
    (ENTER, 1, 1, 0, 10),
    (BLOCK, 1, 1, NOBODY, 5),
    (IRQ, 1, NOBODY, 1, 100),
    (YIELD, 1, NOBODY, 1, 5),
    (RETURN, 1, 1, 0, 5),
    (YIELD, 1, 1, NOBODY, 5),
    (BLOCK, 1, NOBODY, 1, 10),
    (ENTER, 1, 1, 231, 10),
    (EXIT, 1, 1, NOBODY, 5),
    (WAKE, 1, 1, 0, 5),
    (BLOCK, 1, 1, NOBODY, 10),
    (YIELD, 0, NOBODY, 0, 5),
    (RETURN, 0, 0, 61, 5),
]


def of(events, head=HEAD):
    return Recording(*np.array(events, np.int64).T, head)


def events_of(recording):
    return list(zip(*(getattr(recording, name).tolist() for name in COLUMNS), strict=True))


def as_perf(text):
    """The same, as `perf script` prints it: no flags, the system before the event, nanoseconds where they are asked for."""
    found = []
    for line in text.splitlines()[1:]:
        comm, pid, cpu, at, event, words = re.match(r" *(.*)-(\d+) +\[(\d+)\] \S+ +([\d.]+): (\w+): (.*)", line).groups()
        system = "raw_syscalls" if event in ("sys_enter", "sys_exit") else "sched"
        found.append(f"{comm:>16} {pid:>6} [{cpu}] {at:>14}: {system:>20}:{event}: {words}\n")
    return found


@pytest.mark.parametrize("lines", [TRACEFS.splitlines(keepends=True), as_perf(TRACEFS)], ids=["tracefs", "perf"])
@pytest.mark.parametrize("root", [None, 10])
def test_what_is_printed_is_read(lines, root):
    """What others do is left out; a name may have a space, and a hyphen does not end it."""
    recording = recorded(lines, HEAD, root)

    assert events_of(recording) == EVENTS
    assert recording.nr_tasks == 2


def test_a_pid_that_is_used_again_is_another_task():
    end = "make x-10 [000] ..... 1.000{}: {}\n"
    more = [
        end.format(300, "sys_enter: NR 56 (1, 2, 3, 4, 5, 6)"),
        end.format(301, "sched_process_fork: comm=make x pid=10 child_comm=make x child_pid=20"),
        end.format(302, "sys_exit: NR 56 = 20"),
    ]
    assert events_of(recorded([*TRACEFS.splitlines(), *more], HEAD))[-2] == (FORK, 0, 0, 2, 1)


def test_a_call_that_restores_the_number_comes_back_from_itself():
    """rt_sigreturn() leaves -1 where the number was."""
    lines = ["a-1 [000] ..... 1.000000: sys_enter: NR 15 (1, 2)\n", "a-1 [000] ..... 1.000001: sys_exit: NR -1 = 0\n"]
    assert events_of(recorded(lines, HEAD)) == [(ENTER, 0, 0, 15, 0), (RETURN, 0, 0, 15, 1)]


SWITCH = "sched_switch: prev_comm=a prev_pid={} prev_prio=120 prev_state={} ==> next_comm=b next_pid={} next_prio=120"


def printed(at, pid, words, cpu=0, flags="....."):
    return f"c-{pid} [{cpu:03}] {flags} 1.{at:06}: {words}\n"


def test_a_call_that_is_refused_before_it_is_entered_is_left_out_and_counted():
    """seccomp(2) is asked before sys_enter is told, and sys_exit is told all the same."""
    lines = [printed(1, 1, "sys_exit: NR 0 = 1"), printed(2, 1, "sys_exit: NR 39 = -1"), printed(3, 1, "sys_enter: NR 0 ()")]
    found = recorded(lines, HEAD, root=1)

    assert [event[:4] for event in events_of(found)] == [(RETURN, 0, 0, 0), (ENTER, 0, 0, 0)]
    assert found.head["refused"] == 1


def test_a_thread_that_executes_another_program_goes_on_under_the_pid_of_its_process():
    lines = [
        printed(1, 1, "sys_enter: NR 56 ()"),
        printed(2, 1, "sched_process_fork: comm=a pid=1 child_comm=a child_pid=2"),
        printed(3, 2, "sys_exit: NR 56 = 0", cpu=1),
        printed(4, 2, "sys_enter: NR 59 ()", cpu=1),
        printed(5, 1, "sched_process_exit: comm=a pid=1 prio=120"),
        printed(6, 1, SWITCH.format(1, "Z", 9)),
        printed(7, 1, "sched_process_exec: filename=/bin/b pid=1 old_pid=2", cpu=1),
        printed(8, 1, "sys_exit: NR 59 = 0", cpu=1),
    ]
    assert events_of(recorded(lines, HEAD, root=1))[-1] == (RETURN, 1, 1, 59, 2)


@pytest.mark.parametrize("stranger", ["sys_enter: NR 0 ()", "sys_exit: NR 0 = 0"])
def test_a_stranger_with_the_pid_of_a_task_that_has_ended_is_none_of_ours(stranger):
    """Its calls are left out, and so is that it is switched in: the CPU is with nobody."""
    lines = [*TRACEFS.splitlines(), printed(300, 0, SWITCH.format(0, "R", 20), cpu=1), printed(301, 20, stranger, cpu=1)]

    assert events_of(recorded(lines, HEAD)) == EVENTS


def test_that_no_line_says_whether_an_interrupt_was_served_is_said():
    assert recorded(TRACEFS.splitlines(), HEAD).head["flags"]
    found = summary(recorded(as_perf(TRACEFS), HEAD))
    assert "no line says whether an interrupt was served" in "".join(summary_lines(found))


def test_a_call_without_a_number_has_that_of_none():
    lines = [printed(1, 1, "sys_enter: NR -1 ()"), printed(2, 1, "sys_exit: NR -1 = -38")]
    assert [event[3] for event in events_of(recorded(lines, HEAD))] == [1023, 1023]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([" " * 5000 + "x\n"], "line 1: x: it is no event"),
        ([printed(1, 1, "sys_enter: NR " + "9" * 30)], "its fields are others"),
        (["a-1 [" + "9" * 30 + "] ..... 1.000000: sys_enter: NR 1 ()\n"], "it is no event"),
        (["what is that?\n"], "line 1: what is that?: it is no event as tracefs or perf print one"),
        (["CPU:1 [LOST 77 EVENTS]\n"], "line 1: CPU:1 [LOST 77 EVENTS]: 77 events are lost there"),
        (["a-1 [000] ..... 2.000000: sys_enter: NR 1 (2)\n", "a-1 [000] ..... 1.000000: sys_exit: NR 1 = 0\n"], "line 2: "),
        (["a-1 [000] ..... 2.000000: sys_enter: number one\n"], "its fields are others than this kernel's event has"),
        (["# only a comment\n"], "the recording: there is no event in it"),
        (
            ["a-1 [000] ..... 2.000000: sys_enter: NR 1 (2)\n", "a-1 [000] ..... 2.000001: sys_enter: NR 0 (2)\n"],
            "event 1, 0.000001 s: task 0 enters read: it has not come back from the call before",
        ),
    ],
)
def test_a_line_or_event_that_does_not_fit_is_named(lines, words):
    with pytest.raises(RecordingError, match=re.escape(words)):
        recorded(lines, HEAD)


def changed(i, *event):
    return [*EVENTS[:i], event, *EVENTS[i + 1 :]]


def swapped(i, j):
    found = list(EVENTS)
    found[i], found[j] = found[j], found[i]
    return found


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (changed(4, 77, 0, 0, 61, 10), "event 4, .*: there is no such kind of event"),
        (changed(4, ENTER, 2, 0, 61, 10), "event 4, .*: task 0 enters wait4: there is no such CPU"),
        (changed(4, ENTER, 0, 0, 61, -1), "event 4, .*: its time is none, or before that of the event before it"),
        (changed(4, ENTER, 0, NOBODY, 61, 10), "event 4, .*: nobody enters wait4: nobody does that"),
        (changed(8, IRQ, 1, 0, 1, 100), "event 8, .*: an interrupt wakes task 1: an interrupt is no task"),
        (changed(15, WAKE, 1, 1, NOBODY, 5), "event 15, .*: task 1 wakes nobody: it names nobody"),
        (changed(8, IRQ, 1, NOBODY, 2, 100), "event 8, .*: that task has not been forked yet"),
        (EVENTS[:1] + EVENTS[2:], "event 2, .*: task 1 returns from clone: its task has not been forked yet"),
        (changed(3, ENTER, 1, 1, 0, 15), "event 3, .*: its first event is not its return from the call that made it"),
        (EVENTS[:2] + EVENTS[3:], "event 3, .*: task 0 enters wait4: it has not come back from the call before"),
        (EVENTS[:6] + EVENTS[7:], "event 9, .*: task 1 returns from read: it is in no call"),
        (changed(10, RETURN, 1, 1, 1, 5), "event 10, .*: task 1 returns from write: it has entered another call"),
        (swapped(10, 14), "event 13, .*: task 1 enters exit_group: it has not come back from the call before"),
        ([*EVENTS[:16], (FORK, 1, 1, 2, 5)], "event 16, .*: task 1 forks task 2: its task has ended"),
        (
            [*EVENTS, (FORK, 0, 0, 2, 5), (FORK, 0, 0, 2, 5)],
            "event 20, .*: task 0 forks task 2: the tasks before it have not been forked yet",
        ),
        ([], "there is no event in it"),
        (changed(4, ENTER, 0, 0, 1024, 10), "event 4, .*: there is no such call"),
        (changed(14, EXIT, 1, 1, 0, 5), "event 14, .*: an end names nobody"),
        (changed(12, BLOCK, 1, NOBODY, NOBODY, 10), "event 12, .*: it is of nobody"),
        (changed(4, ENTER, 0, 0, 61, 1 << 51), "event 4, .*: its time is none"),
        (changed(4, -1, 0, 0, 61, 10), "event 4, .*: there is no such kind of event"),
        (changed(4, ENTER, 1, 0, 61, 10), "event 4, .*: task 0 enters wait4: it does not run on that CPU"),
        (changed(3, RETURN, 1, 1, 61, 15), "event 3, .*: task 1 returns from wait4: it was made in another call"),
        ([*EVENTS[:4], (ENTER, 1, 1, 61, 0), (ENTER, 1, 1, 61, 0), (ENTER, 9, 0, 0, 0)], "event 5, .*: it has not come back"),
    ],
)
def test_the_first_event_that_does_not_fit_is_named(events, words):
    with pytest.raises(RecordingError, match=words):
        of(np.array(events, np.int64).reshape(-1, 5)).require_whole("x")


def test_a_recording_is_read_as_it_was_written(tmp_path):
    place = tmp_path / "a.npz"
    large = [(ENTER, 1, 0, 300, 1 << 20), (RETURN, 0, 0, 300, 0)]
    for events in (EVENTS, large):
        of(events).write(place)
        read = Recording.read(place)
        assert events_of(read) == events
        assert dict(read.head) == {"schema": 1, **HEAD}


def rewritten(place, name, text):
    """The same file with other bytes in the place of one of its members."""
    with zipfile.ZipFile(place) as file:
        members = {info.filename: file.read(info) for info in file.infolist()}
    with zipfile.ZipFile(place, "w", zipfile.ZIP_LZMA) as file:
        for other, found in members.items():
            file.writestr(other, text if other == name else found)


def encrypted(place):
    """The flag alone, in both of the places where a zip has it."""
    data = bytearray(place.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + at] |= 1
    place.write_bytes(bytes(data))


def headed(place, **head):
    rewritten(place, "recording.json", json.dumps({"schema": 1, **HEAD, **head}))


DAMAGE = {
    "encrypted": encrypted,
    "a head that is deep": lambda place: rewritten(place, "recording.json", "[" * 200_000),
    "a head that is no text": lambda place: rewritten(place, "recording.json", b"\xff\xfe\x00"),
    "CPUs in words": lambda place: headed(place, nr_cpus="3"),
    "no CPUs": lambda place: headed(place, nr_cpus=0),
    "more CPUs than a number": lambda place: headed(place, nr_cpus=1e400),
    "names of calls in a list": lambda place: headed(place, syscalls=["read"]),
    "a number for a name": lambda place: headed(place, syscalls={"0": 1}),
    "a command that is none": lambda place: headed(place, command=[5]),
    "a head too large": lambda place: headed(place, note="x" * (1 << 24)),
    "truncated": lambda place: place.write_bytes(place.read_bytes()[:-300]),
    "a bit": lambda place: place.write_bytes(bytes(b ^ (i == 60) for i, b in enumerate(place.read_bytes()))),
    "something else": lambda place: place.write_text("not a recording"),
    "no such file": lambda place: place.unlink(),
    "a folder": lambda place: (place.unlink(), place.mkdir()),
    "another zip": lambda place: zipfile.ZipFile(place, "w").close(),
    "another schema": lambda place: rewritten(place, "recording.json", '{"schema": 2, "syscalls": {}}'),
    "no head": lambda place: rewritten(place, "recording.json", "[1]"),
    "no whole column": lambda place: rewritten(place, "after.u1", b"1"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_no_recording_is_refused_in_a_sentence(how, tmp_path, capsys):
    place = tmp_path / "a.npz"
    of(EVENTS).write(place)
    DAMAGE[how](place)

    assert main(["trace", "show", str(place)]) == 2
    assert capsys.readouterr().err.startswith(f"shmkret: {place}")


def test_who_waits_for_whom_is_told():
    """A wait for a child that an exit ends, one for a disk; being preempted, and being dead, is no wait."""
    waits = waits_of(of(EVENTS))

    assert list(zip(*(column.tolist() for column in waits), strict=True)) == [(5, 17, 15, True), (7, 9, 8, False)]


def test_of_two_wakes_the_last_before_a_task_runs_ends_its_wait_and_none_of_an_earlier_one():
    waker = [(ENTER, 0, 0, 1, 1), (WAKE, 0, 0, 1, 1), (RETURN, 0, 0, 1, 1)]
    events = [
        *EVENTS[:4],
        *waker,
        (BLOCK, 1, 1, NOBODY, 1),
        *waker,
        *waker,
        (YIELD, 1, NOBODY, 1, 1),
        (BLOCK, 1, 1, NOBODY, 1),
        (YIELD, 1, NOBODY, 1, 1),
        (BLOCK, 1, 1, NOBODY, 1),
    ]
    waits = waits_of(of(events))

    # The wake-up at 5 came before the first wait began: it could be that of a task that was about to sleep.
    assert waits.out.tolist() == [7, 15, 17]
    assert waits.into.tolist() == [14, 16, -1]
    assert waits.by.tolist() == [12, -1, -1]
    assert waits.edge.tolist() == [True, False, False]


def test_the_time_of_the_cpus_is_that_of_tasks_outside_and_inside_of_calls_and_of_nobody():
    """CPU 0: in clone() 15 us, outside 25, in wait4() 10, idle 175, in it 5. CPU 1: idle 30, outside 30, in read() 5, idle 105,
    in it 5, outside 5, idle 10, outside 10, in exit_group() 20, idle 10.
    """
    assert spent(of(EVENTS)) == pytest.approx((70e-6, 60e-6, 330e-6))


def test_a_summary_counts_what_there_is(tmp_path, capsys):
    place = tmp_path / "a.npz"
    of(EVENTS, {**HEAD, "command": ["make", "-j8"]}).write(place)
    assert main(["trace", "show", str(place), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert [found[name] for name in ("events", "tasks", "forks", "exits", "calls_entered")] == [19, 2, 1, 1, 4]
    assert [found[name] for name in ("waits", "ended_by_task", "ended_by_interrupt", "ended_unknown")] == [2, 1, 1, 0]
    assert {call["name"]: (call["count"], call["seconds"]) for call in found["calls"]} == {
        "clone": (1, pytest.approx(15e-6)),
        "wait4": (1, pytest.approx(190e-6)),
        "read": (1, pytest.approx(115e-6)),
        "exit_group": (1, 0),
    }
    assert summary(of(EVENTS))["seconds"] == pytest.approx(230e-6)
    assert main(["trace", "show", str(place)]) == 0
    assert "2 waits: 1 ended by a task (50.0%), 1 by an interrupt, 0 by what is not known" in capsys.readouterr().out


def test_text_is_imported_by_the_command(tmp_path, capsys):
    text, place = tmp_path / "text", tmp_path / "a.npz"
    text.write_text(TRACEFS)
    assert main(["trace", "import", str(text), "-o", str(place)]) == 0
    assert events_of(Recording.read(place)) == EVENTS
    assert Recording.read(place).event(4) == "task 0 enters wait4"
    assert main(["trace", "import", str(tmp_path / "none"), "-o", str(place)]) == 2
    assert main(["trace", "import", str(text), "-o", str(tmp_path / "no" / "a.npz")]) == 2
    capsys.readouterr()


@pytest.fixture
def tracing():
    """Where the kernel lets us trace: what there is of our instances, to be asked afterwards, and where tracefs is mounted."""
    try:
        with instance("shmkret-test"):
            pass
    except UnfitMachine as error:
        pytest.skip(str(error))
    with tracefs._mounted() as root:
        yield lambda: [path.name for path in (root / "instances").glob("shmkret-*")] + mounts()


def mounts():
    return [line for line in Path("/proc/mounts").read_text().splitlines() if "shmkret-tracefs" in line][1:]


def test_a_command_is_recorded_with_all_that_it_makes(tracing):
    """Two children; the second sleeps, which an interrupt ends; their ends are waited for."""
    found = record(["sh", "-c", "cat /dev/null; sleep 0.05; true"], buffer=8)

    assert found.head["command"][0] == "sh"
    assert (found.nr_tasks, int((found.kind == FORK).sum()), int((found.kind == EXIT).sum())) == (3, 2, 3)
    calls = {found.call(int(number)) for number in found.arg[found.kind == ENTER]}
    assert {"execve", "wait4", "exit_group"} <= calls
    waits = waits_of(found)
    assert {int(found.kind[by]) for by in waits.by if by >= 0} == {WAKE, IRQ}
    assert 0.05 < found.head["time"]["real_s"] < 10
    assert tracing() == []


@pytest.mark.parametrize(
    ("command", "how", "error", "words"),
    [
        (["sh", "-c", "exit 3"], {}, RunFailed, "sh failed: exit code 3; nothing is recorded"),
        (["sh", "-c", "kill -9 $$"], {}, RunFailed, "sh was killed by SIGKILL"),
        (["/no/such/thing"], {}, RunFailed, "/no/such/thing failed: exit code 127"),
        (["true"], {"cpus": [4095]}, UsageError, "cores 4095: this process may use"),
        (["true"], {"buffer": 1 << 40}, UnfitMachine, "the kernel's tracing refuses .* as buffer_size_kb"),
        (
            ["sh", "-c", "find /usr /proc >/dev/null 2>&1; true"],
            {"buffer": 1},
            RecordingError,
            "events did not fit into `buffer`, 1 MiB a CPU: raise it",
        ),
    ],
)
def test_a_command_that_fails_and_a_buffer_that_is_full_leave_no_recording_and_no_tracing(tracing, command, how, error, words):
    with pytest.raises(error, match=words):
        record(command, **{"buffer": 4, **how})
    assert tracing() == []


def test_what_cannot_be_read_leaves_no_tracing_and_is_told(tracing):
    """A name with a newline in it breaks its lines."""
    named = "import ctypes, os; ctypes.CDLL(None).prctl(15, b'a\\nb', 0, 0, 0); os.getpid()"
    with pytest.raises(RecordingError, match="it is no event as tracefs or perf print one"):
        record([sys.executable, "-c", named], buffer=8)
    assert tracing() == []


def test_who_interrupts_leaves_nothing_of_the_command_and_no_tracing(tracing):
    """Whatever it has made is killed, in a session of its own, too."""
    script = "setsid sh -c 'sleep 31.7 & sleep 31.7'; true"
    timer = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        record(["sh", "-c", script], buffer=8)
    timer.join()
    words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.exists()]
    assert [one for one in words if b"31.7" in one] == []
    assert tracing() == []


def test_a_cpu_is_with_whom_it_was_with_until_the_end():
    events = [*EVENTS[:4], (ENTER, 0, 0, 61, 1_000_000)]
    assert spent(of(events)) == pytest.approx((2.000015, 15e-6, 30e-6))


def test_where_it_could_not_be_written_nothing_is_recorded(tmp_path, capsys):
    for place in (tmp_path, tmp_path / "no" / "a.npz"):
        assert main(["trace", "record", "-o", str(place), "--", "touch", str(tmp_path / "was_run")]) == 2
    assert not (tmp_path / "was_run").exists()
    capsys.readouterr()


def test_a_recording_that_is_not_written_whole_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    place = tmp_path / "a.npz"
    of(EVENTS).write(place)
    with pytest.raises(TypeError):
        of(EVENTS[:3], {"nr_cpus": object()}).write(place)
    assert events_of(Recording.read(place)) == EVENTS
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_who_is_not_root_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnfitMachine, match="who records must be root"):
        record(["true"])


def test_system_calls_have_names_where_a_table_is_known():
    assert names_of_calls("x86_64")["257"] == "openat"
    assert names_of_calls("pdp11") == {}
    assert of([(ENTER, 0, 0, 999, 0)]).event(0) == "task 0 enters call 999"


def test_who_is_told_by_an_interrupt_that_served_on_the_cpu_of_a_task_is_told_by_no_task():
    lines = [
        printed(1, 1, "sys_enter: NR 56 ()"),
        printed(2, 1, "sched_process_fork: comm=a pid=1 child_comm=a child_pid=2"),
        printed(3, 1, "sched_waking: comm=a pid=2 prio=120 target_cpu=000", flags="d.s4."),
    ]
    assert recorded(lines, HEAD).kind.tolist()[2:] == [IRQ]


def test_a_recording_may_begin_in_the_middle_of_the_call_that_makes_a_task():
    found = of([(FORK, 0, 0, 1, 0), (RETURN, 0, 0, 56, 1), (RETURN, 1, 1, 56, 1)])
    found.require_whole("x")
    with pytest.raises(RecordingError, match=r"event 3, .*: it is in no call"):
        of([*events_of(found), (RETURN, 1, 1, 56, 1)]).require_whole("x")
