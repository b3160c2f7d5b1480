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

    def lost(self) -> int:
        """How many events there was no room for."""
        stats = (path.read_text().splitlines() for path in sorted(self._folder.glob("per_cpu/cpu*/stats")))
        return sum(
            int(line.split(":")[1]) for lines in stats for line in lines if line.startswith(("overrun", "dropped events"))
        )

    def lines(self) -> Iterator[str]:
        """What was recorded, in the order of time, as text."""
        with (self._folder / "trace").open() as text:
            yield from text


@contextlib.contextmanager
def instance(name: str) -> Iterator[Instance]:
    """One of that name, as long as the block runs; tracefs is mounted where it is not. Raises UnfitMachine."""
    with _mounted() as root:
        folder = root / "instances" / name
        try:
            folder.mkdir()
        except OSError as error:
            raise UnfitMachine(
                f"the kernel gives no instance of its tracing, {folder}: {error.strerror}; are you root?"
            ) from None
        try:
            yield Instance(folder)
        finally:
            with contextlib.suppress(OSError):
                (folder / "tracing_on").write_text("0")
            folder.rmdir()


@contextlib.contextmanager
def _mounted() -> Iterator[Path]:
    found = next((place for place in PLACES if (place / "instances").is_dir()), None)
    if found is not None:
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="shmkret-tracefs-") as place:
        done = subprocess.run(["/bin/mount", "-t", "tracefs", "nodev", place], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnfitMachine(f"tracefs cannot be mounted: {done.stderr.strip() or 'mount failed'}; are you root?")
        try:
            yield Path(place)
        finally:
            subprocess.run(["/bin/umount", place], check=True)


def is_root() -> bool:
    """Whether the kernel may let us trace."""
    return os.geteuid() == 0
