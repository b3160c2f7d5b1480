"""`python -m shmkret` is `shmkret`."""

import sys

from shmkret.cli import main

sys.exit(main())
