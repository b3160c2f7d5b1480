"""`python -m shmkret.cli.patched MUTANT COMMAND ...`: a command, with a slip in the text; `explore --mutants` runs these."""

from __future__ import annotations

import importlib
import sys

from shmkret.errors import ShmkretError, UsageError
from shmkret.explore.mutants import every, patched


def main(argv: list[str]) -> int:
    """The exit code of the command; 2 where the slip was in nothing that it imports."""
    try:
        if not argv or argv[0] not in every():
            raise UsageError("give the name of a mutant, of `shmkret list mutants`, and a command")
        finder = patched.install(every()[argv[0]])
        code: int = importlib.import_module("shmkret.cli.main").main(argv[1:])
        if not finder.found:
            raise UsageError(f"{finder.mutant.module} is not imported by that command")
    except ShmkretError as error:
        print(f"shmkret: {error}", file=sys.stderr)
        return error.exit_code
    return code


if __name__ == "__main__":
    from shmkret.host import signals

    signals.install()
    sys.exit(main(sys.argv[1:]))
