"""What computer a result comes from. What nothing tells is None.

Source    proc(5); systemd's detect-virt.c; util-linux's lscpu-arm.c; Documentation/devicetree
"""

from __future__ import annotations

import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from shmkret.host import topology

SYS, PROC = Path("/sys"), Path("/proc")
SYSTEM = SYS / "devices/system"
CPUS = SYSTEM / "cpu"
DMI = ("sys_vendor", "board_vendor", "bios_vendor", "product_name")
VIRTUAL = (
    "KVM", "OpenStack", "KubeVirt", "Amazon EC2", "QEMU", "VMware", "VMW", "innotek GmbH", "VirtualBox",
    "Xen", "Bochs", "Parallels", "BHYVE", "Hyper-V", "Virtual Machine", "Apple Virtualization", "Google Compute Engine",
)  # fmt: skip
ARM_CORES = {
    (0x41, 0xD03): "Cortex-A53", (0x41, 0xD05): "Cortex-A55", (0x41, 0xD07): "Cortex-A57", (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73", (0x41, 0xD0A): "Cortex-A75", (0x41, 0xD0B): "Cortex-A76", (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1", (0x41, 0xD41): "Cortex-A78", (0x41, 0xD44): "Cortex-X1", (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710", (0x41, 0xD49): "Neoverse-N2", (0x41, 0xD4F): "Neoverse-V2", (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720", (0x41, 0xD84): "Neoverse-V3", (0x41, 0xD8E): "Neoverse-N3", (0x43, 0x0AF): "ThunderX2",
    (0x46, 0x001): "A64FX", (0x48, 0xD01): "TaiShan-v110", (0xC0, 0xAC3): "Ampere-1", (0xC0, 0xAC4): "Ampere-1a",
}  # fmt: skip
"""By implementer and part, as lscpu(1) names them."""
_X86 = re.compile(r"^vendor_id\s*:", re.MULTILINE)
_ARM = re.compile(r"^CPU implementer\s*:\s*(\S+)(?:\n(?!\n).*)*?\nCPU part\s*:\s*(\S+)", re.MULTILINE)


def describe() -> dict[str, Any]:
    """The computer and the versions, for the head of a result."""
    return {
        "cpu": _cpu_model(),
        "cores_allowed": topology.allowed_cores(),
        "cores_online": os.cpu_count(),
        "cpu_quota": topology.quota(),
        "topology": [core._asdict() for core in topology.topology()],
        "hypervisor": hypervisor(),
        "governor": _of_all_cores("cpufreq/scaling_governor"),
        "boost": _sysfs("cpufreq/boost"),
        "idle_driver": _sysfs("cpuidle/current_driver"),
        "isolated": _listed("isolated"),
        "nohz_full": _listed("nohz_full"),
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
    """The computer as one line for tables and plots."""
    where = " (virtual machine)" if machine["hypervisor"] else ""
    return f"{machine['cpu']}, {len(machine['cores_allowed'])} cores{where}, Linux {machine['kernel']}, {machine['libc']}"


def hypervisor() -> bool | None:
    """Whether this is a virtual machine; None: nothing tells. Only on x86 does silence mean that it is none."""
    if _X86.search(_cpuinfo()):
        return "hypervisor" in _cpuinfo()
    tree = PROC / "device-tree"
    told = _read(SYS / "hypervisor/type") or (tree / "hypervisor").exists() or any(tree.glob("fw-cfg*"))
    return True if told or _is_virtual_by_dmi() else None


def _is_virtual_by_dmi() -> bool:
    """What the firmware says of the computer, as systemd-detect-virt(1) reads it."""
    said = {name: _read(SYS / "class/dmi/id" / name) or "" for name in DMI}
    if said["product_name"].endswith(".metal"):  # a cloud's computer without its hypervisor
        return False
    return any(text.startswith(VIRTUAL) for text in said.values())


def _of_all_cores(file: str) -> str | None:
    """What a file says of each core that we may use, once where they agree."""
    said = {_sysfs(f"cpu{core}/{file}") for core in topology.allowed_cores()}
    return ", ".join(sorted(filter(None, said))) or None


def _sysfs(file: str) -> str | None:
    return _read(CPUS / file)


def _listed(file: str) -> str | None:
    """A list of cores: "none" where the kernel says that there are none, None where it says nothing."""
    try:
        said = (CPUS / file).read_text().strip()
    except OSError:
        return None
    return "none" if said in ("", "(null)") else said


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def _cpuinfo() -> str:
    return _read(PROC / "cpuinfo") or ""


def _cpu_model() -> str:
    """The name of the processor; on Arm those of its kinds of cores, by the numbers that they give, and of the board."""
    named = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    if named:
        return named[1].strip()
    kinds = dict.fromkeys(_ARM.findall(_cpuinfo()))
    names = [ARM_CORES.get((int(who, 16), int(part, 16)), f"Arm core {part} of implementer {who}") for who, part in kinds]
    board = _read(PROC / "device-tree/model")
    name = " + ".join(names) or platform.processor() or platform.machine()
    return f"{name} ({board})" if board else name
