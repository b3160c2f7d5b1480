"""Writes a block of README as a file, so that what runs is what is printed.

README marks each block: `<!-- run: NAME FILE -->` above it, NAME what it belongs to, FILE where it goes.
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"<!-- run: (\w+) (\S+) -->\n+```\w*\n(.*?)```", re.DOTALL)

if __name__ == "__main__":
    wanted, readme, folder = sys.argv[1:]
    blocks = [match for match in BLOCK.finditer(Path(readme).read_text()) if match[1] == wanted]
    if not blocks:
        sys.exit(f"{readme} has no block marked {wanted!r}")
    for match in blocks:
        (Path(folder) / match[2]).write_text(match[3])
