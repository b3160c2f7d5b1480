"""What `shmkret explore` says of a search: before it, meanwhile on a terminal, and after it."""

from __future__ import annotations

import sys
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from shmkret.cli import output
from shmkret.errors import UnfitMachine
from shmkret.explore.pieces import Folder, Piece, Pool
from shmkret.explore.scene import MODELS
from shmkret.explore.search import Watch, counted, search
from shmkret.host import signals

if TYPE_CHECKING:
    from shmkret.explore.scenarios import Asked
    from shmkret.explore.search import How
    from shmkret.explore.stacks.apart import Progress


def title(asked: Asked) -> str:
    """What is searched."""
    rounds = f"{counted(asked.cpus, 'CPU')} x {counted(asked.rounds, 'round')}"
    deaths = f", {_leaving(asked)} at any step" if asked.deaths else ""
    worker = f" of {asked.worker.name}" if asked.worker else ""
    return f"{asked.scenario.name}{worker}: {asked.scheme.name} with {asked.lock.name}, {rounds}{deaths}"


def _leaving(asked: Asked) -> str:
    if asked.scenario.constants.stops:
        return f"{counted(asked.deaths, 'CPU')} stopped for good"
    return counted(asked.deaths, "death")


def manner(how: How) -> str:
    """How it is searched."""
    drawn = f"interleavings drawn by {how.engine} from the seed {how.seed}"
    every = "every interleaving, one run of each trace" if how.by_traces else "every interleaving"
    if how.preemptions is not None:
        every += f" with at most {counted(how.preemptions, 'preemption')}"
    if how.symmetric:
        every += " of like CPUs, which begin in the order of their numbers"
    left_out = [name for name in how.monitors if name not in how.watched_by]
    without = f"; without {', '.join(left_out)}, not known under {MODELS[how.model]}" if left_out else ""
    return f"{MODELS[how.model]}, {drawn if how.draws else every}{without}"


def summary(row: dict[str, Any]) -> str:
    """One line of what a search has found. row: Found.statistics()."""
    held = "complete" if row["complete"] else f"bounded: {row['bound']}" if row["bound"] else "a violation"
    seconds = row["seconds"] or 1e-9
    took = f"compiled in {row['compile_seconds']:.1f} s, searched in {row['seconds']:.1f} s"
    if "pruned" in row:
        return (
            f"{held}; {counted(row['schedules'], 'complete run')}, {row['retried']:,} of them with a step done again; "
            f"{row['blocked']:,} blocked, {row['pruned']:,} pruned; {row['distinct_ends']:,} different ends; "
            f"{row['steps']:,} steps; {took} ({row['schedules'] / seconds:,.0f} runs/s, "
            f"{row['steps'] / seconds / 1e6:.2f} million steps/s)"
        )
    if row["states"] is None:
        runs = f"{counted(row['runs'], 'run')} of {row['steps'] / max(1, row['runs']):.0f} steps"
        return f"{held}; {runs}, {row['distinct_ends']:,} different ends; {took} ({row['runs'] / seconds:,.0f} runs/s)"
    return (
        f"{held}; {row['states']:,} states, {row['schedules']:,} ends; {took} "
        f"({row['states'] / seconds / 1e6:.2f} million states/s); table of {row['table_bytes'] / 2**20:,.0f} MiB "
        f"{100 * row['table_share']:.0f} % full; odds of a missed state {row['odds_of_a_missed_state']:.0e}"
    )


def violation(wrong: dict[str, Any]) -> str:
    """What is wrong, its lanes, and the command that runs it again."""
    return "\n".join(f"  {line}" for line in [wrong["what"], *wrong["lanes"], f"{wrong['length']}; again:", wrong["replay"]])


def tell(row: dict[str, Any], place: TextIO) -> None:
    """All of a search."""
    print("\n".join([f"  {summary(row)}", *map(violation, row["violations"])]), file=place, flush=True)


class Searched(NamedTuple):
    """The rows of several searches, in the order in which they were asked for; whether they were interrupted."""

    rows: list[dict[str, Any]]
    interrupted: bool


def one_by_one(pieces: Sequence[Piece], place: TextIO) -> Searched:
    """Search here, each told before and after."""
    rows = []
    for asked, how in pieces:
        print(f"{title(asked)}; {manner(how)}", file=place, flush=True)
        found = search(asked, how, Live())
        rows.append(found.statistics())
        tell(rows[-1], place)
        if found.interrupted:
            return Searched(rows, interrupted=True)
    return Searched(rows, interrupted=False)


def at_once(pieces: Sequence[Piece], processes: int, folder: Folder | None, place: TextIO) -> Searched:
    """Search in processes, each told when it has ended; those that have a result in the folder are not searched again."""
    rows = {piece.name: row for piece in pieces if folder and (row := folder.row(piece))}
    for piece in pieces:
        if piece.name in rows:
            _tell_piece(piece, rows[piece.name], len(pieces), rows, place, "as before: ")
    pool, live = Pool([piece for piece in pieces if piece.name not in rows], processes), Live()
    interrupted = False
    try:
        live.show(f"{len(rows)} of {len(pieces)} searches have ended")
        for piece, row, searched in pool.rows():
            live.ended()
            if searched and folder:
                folder.keep(piece, row)
            rows[piece.name] = row
            _tell_piece(piece, row, len(pieces), rows, place)
            if not searched:
                output.say(f"shmkret: {title(piece.asked)} was not searched: {row['bound']}")
            live.show(f"{len(rows)} of {len(pieces)} searches have ended, {pool.running} go on")
    except KeyboardInterrupt:
        interrupted = True
    finally:
        live.ended()
    return Searched([rows[piece.name] for piece in pieces if piece.name in rows], interrupted)


def _tell_piece(piece: Piece, row: dict[str, Any], nr: int, rows: Sized, place: TextIO, how: str = "") -> None:
    print(f"{how}{title(piece.asked)}; {manner(piece.how)} ({len(rows)} of {nr})", file=place)
    tell(row, place)


def code(rows: list[dict[str, Any]], *, interrupted: bool, require_complete: bool) -> int:
    """The exit code of several searches."""
    if interrupted:
        output.say("shmkret: interrupted; what is known by now is above")
        return signals.EXIT_INTERRUPTED
    if any(row["violations"] for row in rows):
        return output.EXIT_FAILED
    if require_complete and not all(row["complete"] for row in rows):
        return UnfitMachine.exit_code
    return output.EXIT_HELD


class Live(Watch):
    """A line on a terminal that says how far it is; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def show(self, words: str) -> None:
        """This, in the place of what was shown before."""
        if self._shown:
            print(f"\r  {words}\x1b[K", end="", file=sys.stderr, flush=True)

    def compiling(self) -> None:
        self.show("compiling")

    def searching(self, now: Progress) -> None:
        """States, rate, depth, share of the table; or runs."""
        if not now.states:
            self.show(f"{now.ends:,} runs  {now.ends / max(now.seconds, 0.1):,.0f} runs/s  {now.seconds:.0f} s")
            return
        rate = now.states / now.seconds / 1e6 if now.seconds else 0.0
        self.show(
            f"{now.states:,} states  {rate:.2f} million/s  depth {now.depth}  table of {now.table >> 20:,} MiB "
            f"{100 * now.share:.0f} % full  {now.seconds:.0f} s"
        )

    def ended(self) -> None:
        """Leave nothing of it."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
