"""Plug-ins: files that are found by name or by path, and keep a contract.

Read `contract` (what a file must define), `registry` (how it is found and loaded), `sources` (what it is made of beside its own
file), `calls` (how its functions are called outside the text).
"""

from shmkret.plugins.registry import Plugin, find, is_path, names

__all__ = ["Plugin", "find", "is_path", "names"]
