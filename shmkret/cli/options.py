"""What the options of several commands share: the types of their values, and those options themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


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


def add_json(parser: Any, what: str = "one JSON object") -> None:
    """--json."""
    parser.add_argument("--json", metavar="FILE|-", help=f"{what}; - is standard output")


def add_lock_by_hand(parser: Any) -> None:
    """--lock, for an arena whose header does not find it."""
    parser.add_argument("--lock", metavar="FILE", help="its lock's file, or name, where the arena's header does not find it")
