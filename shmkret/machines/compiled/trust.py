"""Whether a folder's files are ours alone: what lies there is run, and so nobody else may have put it there."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def why_not_ours(folder: Path) -> str:
    """Why somebody else may have put files into a folder, in words; empty: nobody but us and root can have.

    It must be ours, and each folder above it ours or root's. None may be written by others, but one above it that is sticky,
    as /tmp is: there nobody else can rename what is ours. Raises OSError where it cannot be looked at.
    """
    folder = folder.resolve()
    for path in (folder, *folder.parents):
        seen = path.stat()
        if seen.st_uid not in ({os.geteuid()} if path == folder else {os.geteuid(), 0}):
            return f"{path} belongs to the user {_user(seen.st_uid)}"
        if _is_written_by_others(seen) and not (path != folder and seen.st_mode & stat.S_ISVTX):
            return f"{path} may be written by others"
    return ""


def _is_written_by_others(seen: os.stat_result) -> bool:
    return bool(seen.st_mode & stat.S_IWOTH) or (bool(seen.st_mode & stat.S_IWGRP) and not _is_own_group(seen.st_gid))


def _is_own_group(gid: int) -> bool:
    """Root's, or that of one user, us, alone: what is made under a umask of 002 may be written by it."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return gid == 0
    return gid == 0 or (group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name})


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
