"""Flags and environment variables -> one frozen settings object, parsed once.

    argv, environ -> texts by flag -> each flag's parser -> settings, with the source of each value

A settings class is a frozen dataclass whose fields are made by `flag`. All problems are reported at once.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
_NO_VALUE = "\0"  # what argparse stores for a flag that came without a value; no argument can hold it


@dataclass(frozen=True, slots=True)
class Flag:
    """How one field is read from text and shown in --help."""

    parse: Callable[[str], object]
    help: str
    group: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was read: values by field, the source of each, and what to tell the user without stopping."""

    values: Mapping[str, object]
    sources: Mapping[str, str]
    warnings: Sequence[str]


def flag(default: T, parse: Callable[[str], T], help: str, group: str = "service") -> T:  # noqa: A002 - argparse's word
    """A field of a settings class."""
    made: T = field(default=default, metadata={"flag": Flag(parse, help, group)})
    return made


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser of integers from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser of decimal numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return value

    return parse


def choice(*names: str) -> Callable[[str], str]:
    """A parser of one of `names`."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return text

    return parse


def text(value: str) -> str:
    """A parser that takes any text."""
    return value


def boolean(value: str) -> bool:
    """A parser of true/false; a bare flag is true."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def load(cls: type[T], program: str, summary: str, argv: Sequence[str], environ: Mapping[str, str]) -> tuple[T, Parsed]:
    """The settings of `program`; exits with status 2 after one line a problem, or 0 after --help or --print_config."""
    parsed, problems = parse(cls, program, summary, argv, environ)
    if problems:
        die(*(f"{program}: {problem}" for problem in problems))
    return cls(**parsed.values), parsed


def parse(
    cls: type[Any], program: str, summary: str, argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Parsed, list[str]]:
    """The values of `cls` and every problem with them. Flags win over variables, variables over defaults."""
    given, unknown = _read_flags(cls, program, summary, argv)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    for name, item in flags(cls).items():
        raw, source = _find(name, given, environ, program)
        values[name], sources[name] = cls.__dataclass_fields__[name].default, source
        if raw is None:
            continue
        try:
            values[name] = _value(item, raw)
        except ValueError as error:
            got = "no value" if raw is _NO_VALUE else repr(raw)
            also = variable(program, name) if source.startswith("--") else f"--{name}"
            problems.append(f"{source}: got {got}, expected {error} (also read from {also})")
    return Parsed(values, sources, _unknown_warning(unknown, list(flags(cls)))), problems


def _value(item: Flag, raw: str) -> object:
    if raw is _NO_VALUE and item.parse is not boolean:
        if item.parse is text:
            raise ValueError("a text")
        return item.parse("")  # which says what it expects
    return item.parse("true" if raw is _NO_VALUE else raw)


def flags(cls: type[Any]) -> dict[str, Flag]:
    """The flags of a settings class by name."""
    return {item.name: item.metadata["flag"] for item in fields(cls)}


def given(cls: type[Any], program: str, argv: Sequence[str], environ: Mapping[str, str]) -> frozenset[str]:
    """The names of the flags that their user has set, on the command line or by variables."""
    sources = parse(cls, program, "", argv, environ)[0].sources
    return frozenset(name for name, source in sources.items() if source != "default")


def describe(settings: object, parsed: Parsed) -> str:
    """The effective settings, one a line, with the source of each: what --print_config prints."""
    rows = [(f"--{name}={show(getattr(settings, name))}", parsed.sources[name]) for name in parsed.values]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{left:<{width}}  # {source}" for left, source in rows)


def die(*lines: str) -> NoReturn:
    """End the process with status 2 after plain lines on standard error: for what only the user can mend."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.exit(2)


def normalise(argument: str) -> str:
    """`--max-batch-size=4` as `--max_batch_size=4`; the value is left alone."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        die(f"{self.prog}: {message}")


def _read_flags(
    cls: type[Any], program: str, summary: str, argv: Sequence[str]
) -> tuple[dict[str, str | None], list[str]]:
    parser = _Parser(prog=program, description=summary, allow_abbrev=False, usage=f"{program} [--flag=value ...]")
    parser.epilog = f"Each flag is also read from {variable(program, 'FLAG')}. Hyphens may stand for underscores."
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, item in flags(cls).items():
        if item.group not in groups:
            groups[item.group] = parser.add_argument_group(item.group)
        default = cls.__dataclass_fields__[name].default
        shown = "" if default in ("", None, ()) else f" [{show(default)}]"
        groups[item.group].add_argument(
            f"--{name}", nargs="?", const=_NO_VALUE, metavar="VALUE", help=(item.help + shown).replace("%", "%%")
        )
    strange = [argument for argument in argv if argument[:1] == "-" and argument[1:2].isalpha() and argument != "-h"]
    known, unknown = parser.parse_known_args([normalise(argument) for argument in argv if argument not in strange])
    return vars(known), [*strange, *unknown]


def variable(program: str, name: str) -> str:
    """The environment variable of a flag: TANDEM_PREDICTOR_HTTP_PORT for tandem-predictor's --http_port."""
    return f"{program}_{name}".replace("-", "_").upper()


def _find(
    name: str, given: Mapping[str, str | None], environ: Mapping[str, str], program: str
) -> tuple[str | None, str]:
    if (raw := given[name]) is not None:
        return raw, f"--{name}"
    key = variable(program, name)
    return (environ[key], key) if key in environ else (None, "default")


def _unknown_warning(unknown: Sequence[str], known: Sequence[str]) -> list[str]:
    parts = []
    for argument in unknown:
        if argument.startswith("-"):
            name = argument.lstrip("-").partition("=")[0]
            near = difflib.get_close_matches(name, known, n=1)
            parts.append(f"{argument.partition('=')[0]}" + (f" (did you mean --{near[0]}?)" if near else ""))
    return [f"ignored unknown flags: {', '.join(parts)}"] if parts else []


def show(value: object) -> str:
    """A value as a flag would be given it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
