"""What kernel and libc may do in each call that the explored machine has a model of, and what the model does.

A row for each call: `thing` is what may happen, by manual and source; `model` how the search has it; `unseen` what the thing
may do and the search never tries. docs/models.md shows them, and the tests hold each row's model against the thing, where it
can be made to do it.
"""

from __future__ import annotations

from typing import NamedTuple


class Promise(NamedTuple):
    """One row."""

    thing: str
    model: str
    unseen: str = ""


_WAITS_ON = "after a signal it goes on waiting"
_ANY = "whoever comes first, woken or not, gets it: in no order"
_ON_ITS_OWN = "asked in plain Python, outside the text"

PROMISES: dict[str, Promise] = {
    "futex_wait": Promise(
        "compares the low 32 bits; returns at once where they differ, when woken, after a signal, after 20 ms; says not which",
        "low 32 bits; a return for no reason is a choice, one a run (`Scenario.wakes`), and no way out of a deadlock",
        "a second return for no reason in one run",
    ),
    "futex_wake": Promise(
        "wakes as many as it is asked for, as a C int, and one at least; of the sleepers any: by priority, then as they came",
        "the same; each set of sleepers that may be woken is a choice",
    ),
    "wait_until": Promise(
        "spins; need not look at every moment, and what it waited for may be over",
        "one step, possible while the relation holds; where nobody writes the word any more it is a deadlock",
    ),
    "wait_unless": Promise(
        "looks at the word, then at the stop word, in turn: gives up nothing that is right at first, and may later",
        "one step, and one more after a look in vain, which ends either way where both hold",
    ),
    "sem_init": Promise(_ON_ITS_OWN, "a plain write of the word, which races with all else"),
    "sem_open": Promise(_ON_ITS_OWN, "a word of its own"),
    "sem_wait": Promise(
        f"{_ANY}; {_WAITS_ON}; who is killed with a wake-up takes it along: another may sleep beside a count above 0",
        "one step, possible while the count is above 0; where CPUs may die, sleepers are told apart and woken one by one",
    ),
    "sem_post": Promise(
        "adds, then wakes any one sleeper; a death may come between; at SEM_VALUE_MAX it fails and changes nothing",
        "one step; where CPUs may die and some sleep, two",
    ),
    "sem_value": Promise(f"{_ON_ITS_OWN}; of a moment; 0 while some wait", "reads the word in one step"),
    "sem_trywait": Promise("takes one or fails, at once; is never interrupted", "one step"),
    "sem_wait_unless": Promise(
        "tries, then looks at the stop word every 20 ms and after a signal; may give up though the count is above 0 by now",
        "as wait_unless; it does not sleep with the others, and takes no wake-up from them",
        "the wake-up that it takes along when it is killed",
    ),
    "sem_reset": Promise("wakes nobody; nobody may be inside", "writes the word; sleepers sleep on"),
    "mutex_init": Promise("wakes nobody; nobody may be inside", "a plain write of the word, which races with all else"),
    "mutex_is_free": Promise(f"{_ON_ITS_OWN}; its words are read, and not touched", "reads the word in one step"),
    "mutex_lock": Promise(
        f"{_ANY}; {_WAITS_ON}; its own holder waits for ever; who is killed with a wake-up takes it along",
        "one step, possible while it is free; where CPUs may die, sleepers are told apart and woken one by one",
    ),
    "mutex_unlock": Promise(
        "sets it free, then wakes any one sleeper if its word says that there may be some; a death may come between; of a "
        "mutex that nobody holds nothing is said",
        "one step; where CPUs may die and some sleep, two; of a mutex that nobody holds it is a violation",
    ),
    "mutex_trylock": Promise("takes it or fails, at once", "one step"),
    "mutex_lock_unless": Promise(
        "as sem_wait_unless", "as sem_wait_unless", "the wake-up that it takes along when it is killed"
    ),
    "robust_init": Promise(_ON_ITS_OWN, "a plain write of the word, which races with all else"),
    "robust_is_free": Promise(
        f"{_ON_ITS_OWN}; its words are read, and not touched; one whose owner died is not free", "reads the word in one step"
    ),
    "robust_lock": Promise(
        f"{_ANY}; {_WAITS_ON}. The kernel marks what a process holds as it ends, and wakes one sleeper; that one, or who comes "
        "first, is told, once. A sleeper killed after its wake-up: another is woken if nobody holds it, and else none is",
        "the same; what an ended CPU holds it holds on: its process is there; which sleeper is woken is a choice of the death",
        "more than 2,048 mutexes of one process, of which the kernel marks no more",
    ),
    "robust_trylock": Promise("takes it, and is told; or is refused by a live owner, at once", "one step"),
    "robust_unlock": Promise(
        "sets it free and wakes any one sleeper if its word says that there may be some; of a death between the two the kernel "
        "makes the wake-up good; of another's mutex nothing is said",
        "one step; of another's mutex it is a violation",
    ),
    "kick": Promise(
        "SIGURG: one who sleeps in a call above looks again, now or never", "nothing: see their returns for no reason"
    ),
    "monotonic_ns": Promise(
        "never goes back; two readings may be the same; any time may be between them",
        "a clock for each CPU, moved by its own readings, steps and delays, whatever the others do; "
        "asked again at the same place, it has gone on for twice as long, up to a second",
        "two readings that are the same; a clock of another pace; one clock for two CPUs",
    ),
}


def table() -> str:
    """The rows as the documents show them."""
    lines = ["| call | what kernel and libc may do | what the search does | what it never tries |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| `{call}` | {row.thing} | {row.model} | {row.unseen} |" for call, row in PROMISES.items())])
