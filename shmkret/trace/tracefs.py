"""An instance of the kernel's tracing: buffers and events of our own, beside whatever else is traced, gone afterwards.

Source    Documentation/trace/ftrace.rst, "Instances"; set_event_pid and event-fork there
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from shmkret.errors import UnfitMachine

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


class Instance:
    """An instance, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, name: str, value: str) -> None:
        """Write one of its files. Raises UnfitMachine when the kernel refuses that."""
        try:
            (self._folder / name).write_text(value)
        except OSError as error:
            raise UnfitMachine(f"the kernel's tracing refuses {value!r} as {name}: {error.strerror}") from None

    def enable(self, events: Iterable[str]) -> None:
        """Record these, each as `system:event`."""
        for event in events:
            self.set(f"events/{event.replace(':', '/')}/enable", "1")

    def pids(self) -> list[int]:
        """The tasks that it traces, those included that they have made and that live."""
        return [int(pid) for pid in (self._folder / "set_event_pid").read_text().split() if pid.isdigit()]

    def lost(self) -> int:
        """How many events there was no room for."""
        stats = (path.read_text().splitlines() for path in sorted(self._folder.glob("per_cpu/cpu*/stats")))
        lost = ("overrun", "dropped events")
        return sum(int(line.split(":")[1]) for lines in stats for line in lines if line.startswith(lost))

    def text(self) -> TextIO:
        """What was recorded, in the order of time: a file to be closed before the instance can go."""
        return (self._folder / "trace").open(errors="replace", newline="\n")


@contextlib.contextmanager
def instance(name: str) -> Iterator[Instance]:
    """One of that name, as long as the block runs; tracefs is mounted where it is not. Raises UnfitMachine."""
    with _mounted() as root:
        folder = root / "instances" / name
        try:
            folder.mkdir()
        except OSError as error:
            why = f"the kernel gives no instance of its tracing, {folder}: {error.strerror}"
            raise UnfitMachine(why) from None
        try:
            yield Instance(folder)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                folder.rmdir()
            raise
        folder.rmdir()


@contextlib.contextmanager
def _mounted() -> Iterator[Path]:
    found = next((place for place in PLACES if (place / "instances").is_dir()), None)
    if found is not None:
        yield found
        return
    place = Path(tempfile.mkdtemp(prefix="shmkret-tracefs-"))  # never emptied: what is in it is the kernel's
    try:
        _call("mount", "-t", "tracefs", "nodev", str(place))
        try:
            yield place
        finally:
            with contextlib.suppress(UnfitMachine):
                _call("umount", "-l", str(place))
    finally:
        place.rmdir()


def _call(program: str, *words: str) -> None:
    try:
        done = subprocess.run([f"/bin/{program}", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnfitMachine(f"{program} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise UnfitMachine(f"tracefs cannot be mounted: {done.stderr.strip() or f'{program} failed'}")


def is_root() -> bool:
    """Whether the kernel may let us trace."""
    return os.geteuid() == 0
