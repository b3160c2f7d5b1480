"""What machine a result comes from."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from shmkret import topology


def describe() -> dict[str, Any]:
    """The machine and the versions, for the head of a result."""
    return {
        "cpu": _cpu_model(),
        "cores_allowed": topology.allowed_cores(),
        "cores_online": os.cpu_count(),
        "cpu_quota": topology.quota(),
        "topology": [core._asdict() for core in topology.topology()],
        "hypervisor": "hypervisor" in _cpuinfo(),
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


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _cpu_model() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
