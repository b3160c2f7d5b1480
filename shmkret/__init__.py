"""The Linux kernel's kretprobe instance machinery, run for real between processes."""

__version__ = "0.1.0"
