"""Options: knobs as options, the types of their values, and what several commands share.

The rooms below speak as the library does, in backquotes: `data_size`, `nr_probes`, `shmkret.attach()`. Here these are
--data-size, --probes, `shmkret inspect`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from shmkret.measure.knobs import GROUPS, KNOBS, OPTIONS, Knob

TURNED = frozenset(
    {
        *OPTIONS,
        "buffer",
        "fail_on",
        "engine",
        "model",
        "runs",
        "depth",
        "preemptions",
        "symmetric",
        "processes",
        "monitors",
        "resume",
    }
)
"""The quantities that have an option."""
COMMANDS = {
    "shmkret.run()": "shmkret bench",
    "shmkret.attach()": "shmkret inspect",
    "shmkret.arena.named.listing()": "shmkret list arenas",
    "shmkret.moves.bugs.CATALOGUE": "shmkret list bugs",
}
"""The parts of the library that have a command."""


def names(text: str) -> list[str]:
    """An argument of names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """An argument of whole numbers with commas between them. Raises ArgumentTypeError."""
    try:
        return [int(number) for number in names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 1,2,4") from None


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace, list[str]], int], **words: str) -> Any:
    """A command, whose options are to be written out whole. run: with the options and the words; returns the exit code."""
    parser = commands.add_parser(name, allow_abbrev=False, **words)
    parser.set_defaults(run=run)
    return parser


def add_json(parser: Any) -> None:
    """--json."""
    parser.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")


def add_lock_by_hand(parser: Any) -> None:
    """--lock, for an arena whose header does not find it."""
    parser.add_argument("--lock", metavar="FILE", help="its lock's file, or name, where the arena's header does not find it")


def add_knobs(parser: Any) -> None:
    """Every knob that is an option, in its group."""
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for knob in sorted((knob for knob in KNOBS.values() if knob.group == title), key=lambda knob: knob.row):
            group.add_argument(_option(knob.name), **_kind(knob), help=in_options(knob.help))


def _kind(knob: Knob) -> dict[str, Any]:
    """What argparse is to know of it. What is not given is None."""
    if knob.type is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    one = None if knob.type is str else knob.type
    several = names if knob.type is str else numbers
    return {"type": several if knob.several else one, "metavar": knob.metavar}


def _option(quantity: str) -> str:
    return f"--{quantity.replace('_', '-')}"


def in_options(words: str) -> str:
    """The same words with an option in the place of each quantity that has one, and commands as in_commands() puts them."""

    def put(found: re.Match[str]) -> str:
        return _option(found["name"]) if found["name"] in TURNED else found[0]

    return re.sub(r"`(?:nr_)?(?P<name>[a-z_]+)`", put, in_commands(words))


def in_commands(words: str) -> str:
    """The same words with a command in the place of each part of the library that has one: safe where they quote the user."""
    for part, command in COMMANDS.items():
        words = words.replace(f"`{part}`", f"`{command}`")
    return words
