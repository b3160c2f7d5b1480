"""Searches in several processes: what is done again, what is kept, and that nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from shmkret.cli import explored
from shmkret.cli.main import main
from shmkret.errors import PluginError, RunFailed, UsageError
from shmkret.explore import pieces as pieces_of
from shmkret.explore.pieces import Folder, Piece, Pool, piece_of
from shmkret.explore.scenarios import asked_of
from shmkret.explore.search import Found, How
from shmkret.host import posix
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME

from .test_explore_command import MANY, STORES, scenario

pytestmark = pytest.mark.usefixtures("shmkret_leaks")

LOCKS = ("ttas", "ticket", "mcs", "clh")


def pieces(how=How(), locks=LOCKS, scenario="lock"):  # noqa: B008
    scheme = find(SCHEME, "hashed")
    return [Piece(asked_of(scenario, scheme, find(LOCK, lock), 2, 1, None, None), how) for lock in locks]


def found(asked, how, *, states=7, **more):
    return Found(asked, how, True, None, states, 1, None, None, 1.0, 1.0, how.memory or 0, 0.0, **more)


def rows_of(searching, processes=2, how=How(), **more):  # noqa: B008
    return {piece.asked.lock.name: (row, held) for piece, row, held in Pool(pieces(how, **more), processes, searching).rows()}


def test_each_is_searched_in_a_process_of_its_own_and_no_more_than_asked_at_once(tmp_path):
    def searching(asked, how):
        (tmp_path / f"{os.getpid()}").touch()
        time.sleep(0.05)
        running = len(list(tmp_path.iterdir()))
        (tmp_path / f"{os.getpid()}").unlink()
        return replace(found(asked, how, states=running), schedules=os.getpid())

    rows = rows_of(searching)
    assert set(rows) == set(LOCKS)
    assert all(held for _, held in rows.values())
    assert len({row["schedules"] for row, _ in rows.values()} - {os.getpid()}) == 4
    assert max(row["states"] for row, _ in rows.values()) <= 2


@pytest.mark.parametrize(("memory", "processes", "share"), [(1 << 24, 4, 1 << 22), (1 << 24, 1, 1 << 24), (None, 2, None)])
def test_memory_is_shared_among_the_processes(memory, processes, share, monkeypatch):
    monkeypatch.setattr(pieces_of, "half_of_free", lambda: 6 << 20)
    rows = rows_of(found, processes, How(memory=memory))

    assert {row["table_bytes"] for row, _ in rows.values()} == {share or 3 << 20}


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_piece_whose_process_dies_is_done_again_twice_at_most_then_named(deaths, tmp_path):
    def searching(asked, how):
        if asked.lock.name == "mcs":
            with (tmp_path / "tries").open("a") as tries:
                tries.write("x")
            if (tmp_path / "tries").stat().st_size <= deaths:
                os.kill(os.getpid(), signal.SIGKILL)
        return found(asked, how)

    rows = rows_of(searching)
    assert (tmp_path / "tries").stat().st_size == min(3, deaths + 1)
    assert [held for row, held in rows.values()].count(False) == (deaths == 3)
    row, held = rows["mcs"]
    assert (row["complete"], held) == (deaths < 3, deaths < 3)
    assert row["bound"] == (None if deaths < 3 else "its process was killed by SIGKILL, 3 times")


def test_a_process_that_ends_without_a_word_is_lost_too():
    row, held = rows_of(lambda *_: os._exit(3), locks=["ttas"])["ttas"]

    assert (held, row["bound"], row["states"]) == (False, "its process ended without a result, 3 times", 0)


@pytest.mark.parametrize(("raised", "kind"), [(PluginError("theirs"), PluginError), (ValueError("ours"), RunFailed)])
def test_what_a_search_raises_is_raised_and_the_others_are_ended(raised, kind):
    def searching(asked, how):
        if asked.lock.name == "ttas":
            raise raised
        time.sleep(1000)

    with pytest.raises(kind, match=str(raised)):
        rows_of(searching, 4)
    assert psutil.Process().children() == []


def test_who_stops_looking_leaves_no_process():
    """A search in a piece has a process of its own, which dies with the piece's."""

    def searching(asked, how):
        piece = os.getpid()
        if asked.lock.name != "ttas" and os.fork() == 0:
            posix.die_with_parent(piece)
        if asked.lock.name != "ttas":
            time.sleep(1000)
        return found(asked, how)

    rows = Pool(pieces(), 4, searching).rows()
    next(rows)
    assert len(psutil.Process().children()) >= 3
    rows.close()
    assert psutil.Process().children() == []


# Folders.


def test_what_was_asked_comes_back_out_of_json(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(find(LOCK, "ttas").path.read_text())
    for how in (How(), How("pct", "sc", 2.0, 1 << 20, 7, 100, 2), How(monitors=("clocks",)), How(preemptions=0)):
        for piece in pieces(how, locks=[str(own), "sem"]):
            assert piece_of(json.loads(json.dumps(piece.words()))) == piece
    (worker,) = pieces(locks=["sem"], scenario="rounds")
    worker = worker._replace(asked=replace(worker.asked, worker=find(WORKER, "spread")))
    assert piece_of(json.loads(json.dumps(worker.words()))) == worker
    assert len({piece.name for piece in [*pieces(), *pieces(How(seed=1)), *pieces(scenario="calls")]}) == 12
    assert len({pieces(How(preemptions=most))[0].name for most in (None, 0, 1)}) == 3


def test_only_what_is_missing_is_searched_and_a_result_of_other_sources_is_missing(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(find(LOCK, "ttas").path.read_text())
    folder, asked = Folder(str(tmp_path / "out")), pieces(locks=[str(own), "sem"])
    folder.make(asked)
    for piece in asked:
        assert folder.row(piece) is None
        folder.keep(piece, found(piece.asked, piece.how).statistics())

    assert [folder.row(piece)["states"] for piece in asked] == [7, 7]
    assert Folder(str(tmp_path / "out")).pieces() == asked
    assert folder.row(pieces(How(seed=1), locks=["sem"])[0]) is None
    own.write_text(own.read_text() + "\n# edited\n")
    edited, same = folder.pieces()
    assert folder.row(edited) is None
    assert folder.row(same)["states"] == 7
    place = folder.path / f"{same.name}.json"
    for broken in ("", "{}", place.read_text()[:-9], place.read_text().replace('"cpus": 2', '"cpus": 3')):
        place.write_text(broken)
        assert folder.row(same) is None


def test_our_own_sources_are_in_the_digest(tmp_path, monkeypatch):
    (piece,) = pieces(locks=["sem"])
    before = piece.digest
    monkeypatch.setattr(pieces_of, "_sources", lambda: "others")

    assert piece.digest != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lock", "--out", "{full}"], "is not empty"),
        (["lock", "--out", "{file}"], "cannot be made or read"),
        (["lock", "--out", "{file}/x/y"], "cannot be made or read"),
        (["--resume", "{none}"], "is no folder of results"),
        (["--resume", "{full}"], "is no folder of results"),
        (["lock", "--resume", "{full}"], "leave out scenarios"),
        (["--resume", "{full}", "--lock", "ttas"], "leave out --lock"),
        (["--resume", "{full}", "--out", "{none}"], "leave out --out"),
        (["lock", "--processes", "0"], "--processes is 0"),
    ],
)
def test_a_folder_that_cannot_be_had_is_said(words, said, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "asked.json").write_text("{}")
    (tmp_path / "file").touch()
    places = {name: tmp_path / name for name in ("full", "file", "none")}

    assert main(["explore", *(word.format(**places) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_the_command_searches_at_once_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    out, place = tmp_path / "out", tmp_path / "found.json"
    words = ["explore", "lock", "--lock", "ttas,busted", "--json", str(place)]

    assert main([*words, "--processes", "2", "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "(1 of 2)" in said
    assert "(2 of 2)" in said
    assert "shmkret replay lock:hashed:busted:" in said
    rows = json.loads(place.read_text())["scenarios"]
    assert [(row["lock"], row["complete"]) for row in rows] == [("ttas", True), ("busted", False)]
    kept = sorted(path for path in out.iterdir() if path.name != "asked.json")
    assert len(kept) == 2

    kept[1].unlink()
    before = kept[0].stat().st_mtime_ns
    assert main(["explore", "--resume", str(out), "--json", str(place)]) == 1
    said = capsys.readouterr().out
    assert said.count("as before: lock: hashed with busted") == 1
    assert "as before: lock: hashed with ttas" not in said
    again = json.loads(place.read_text())["scenarios"]

    def told(row):
        return {name: value for name, value in row.items() if "seconds" not in name}

    assert list(map(told, again)) == list(map(told, rows))
    assert kept[0].stat().st_mtime_ns == before
    assert kept[1].exists()


def test_an_interrupt_leaves_no_process_and_what_had_ended(tmp_path, capsys, monkeypatch):
    def searching(asked, how):
        if asked.lock.name != "ttas":
            time.sleep(1000)
        return found(asked, how)

    folder = Folder(str(tmp_path / "out"))
    asked = pieces()
    folder.make(asked)
    keep = Folder.keep

    def kept(self, piece, row):
        keep(self, piece, row)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Folder, "keep", kept)
    monkeypatch.setattr(explored, "Pool", lambda some, processes: Pool(some, processes, searching))
    with Path(os.devnull).open("w") as nowhere:
        rows, interrupted = explored.at_once(asked, 4, folder, nowhere)

    assert interrupted
    assert [row["lock"] for row in rows] in ([], ["ttas"])
    assert psutil.Process().children() == []
    assert folder.row(asked[0])["lock"] == "ttas"
    assert [folder.row(piece) for piece in asked[1:]] == [None] * 3


def runs(process):
    """Whether it is there, and more than what is left of one whose parent has ended, until init reaps it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.full  # the same without a command runs always
def test_a_command_that_is_interrupted_leaves_no_process(tmp_path):
    paths = [scenario(tmp_path, STORES, name) for name in ("one", "other")]
    words = [*paths, *MANY, "--processes", "2", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "shmkret", "explore", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        family = []
        while len(family) < 4 and started.poll() is None:  # a piece, and its search, each twice
            family = psutil.Process(started.pid).children(recursive=True)
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate()

    assert (started.returncode, "interrupted" in said) == (130, True), said
    assert len(family) == 4
    while any(map(runs, family)):  # a search ends with its piece, which this command has waited for; a watchdog is around us
        time.sleep(0.02)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["asked.json"]


def test_one_that_was_lost_is_named_and_has_no_file(tmp_path, capsys, monkeypatch):
    folder, asked = Folder(str(tmp_path / "out")), pieces(locks=["ttas"])
    folder.make(asked)
    monkeypatch.setattr(explored, "Pool", lambda some, processes: Pool(some, processes, lambda *_: os._exit(1)))
    with Path(os.devnull).open("w") as nowhere:
        rows, interrupted = explored.at_once(asked, 1, folder, nowhere)

    assert (len(rows), interrupted) == (1, False)
    assert "hashed with ttas, 2 CPUs x 1 round was not searched: its process ended" in capsys.readouterr().err
    assert folder.row(asked[0]) is None
    with pytest.raises(UsageError, match="not empty"):
        folder.make(asked)
