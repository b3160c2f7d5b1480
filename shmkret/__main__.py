"""`python -m shmkret`, and the installed `shmkret`: owns the signals from the first moment to the last."""

import contextlib
import os
import sys
import warnings

from shmkret import errors
from shmkret.host import signals


def main() -> int:
    """Run the command line; returns its exit code."""
    signals.install()
    if not sys.warnoptions:  # a file of the user's that imports a path of before the rooms is told the new one
        warnings.filterwarnings("default", "shmkret", DeprecationWarning)
    # One thread is one thing less to go wrong when workers are forked; nothing here multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with signals.on_the_spot():
            from shmkret.cli import main as cli
    except (ImportError, MemoryError) as error:
        print(f"shmkret: {errors.cannot_import(error)}", file=sys.stderr)
        return errors.UnfitMachine.exit_code
    code = signals.EXIT_INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt):
        try:
            code = cli.main()
        finally:
            signals.over()
    signals.over()  # again, if it was interrupted: this time nothing can
    return code


if __name__ == "__main__":
    sys.exit(main())
