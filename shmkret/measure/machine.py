"""What machine a result comes from."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from shmkret import topology

SYSTEM = Path("/sys/devices/system")


def describe() -> dict[str, Any]:
    """The machine and the versions, for the head of a result."""
    return {
        "cpu": _cpu_model(),
        "cores_allowed": topology.allowed_cores(),
        "cores_online": os.cpu_count(),
        "cpu_quota": topology.quota(),
        "topology": [core._asdict() for core in topology.topology()],
        "hypervisor": "hypervisor" in _cpuinfo(),
        "governor": _of_all_cores("cpufreq/scaling_governor"),
        "boost": _sysfs("cpufreq/boost"),
        "idle_driver": _sysfs("cpuidle/current_driver"),
        "isolated": _sysfs("isolated"),
        "nohz_full": _sysfs("nohz_full"),
        "clocksource": _read(SYSTEM / "clocksource/clocksource0/current_clocksource"),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "libc": os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in ("numpy", "numba", "llvmlite")},
    }


def process_age_s() -> float:
    """Seconds since this process was started, by the kernel's books (starttime in proc(5)); to a clock tick."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def in_a_line(machine: dict[str, Any]) -> str:
    """The machine as one line for tables and plots."""
    where = " (virtual machine)" if machine["hypervisor"] else ""
    return f"{machine['cpu']}, {len(machine['cores_allowed'])} cores{where}, Linux {machine['kernel']}, {machine['libc']}"


def _of_all_cores(file: str) -> str | None:
    """What a file says of each core that we may use, once where they agree."""
    said = {_sysfs(f"cpu{core}/{file}") for core in topology.allowed_cores()}
    return ", ".join(sorted(filter(None, said))) or None


def _sysfs(file: str) -> str | None:
    return _read(SYSTEM / "cpu" / file)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _cpuinfo() -> str:
    return _read(Path("/proc/cpuinfo")) or ""


def _cpu_model() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
