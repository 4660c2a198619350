"""The command line as `./invoke` runs it: Invoke's own, and what cannot be read is told with the command that mends it.

Invoke reads what it does not know as the value of an option that must be given: of `deploy --enb staging` the
environment is `--enb`, and `staging` is one word too many. Such a value that looks like an option, and does not stand
after the option it is the value of, is one that is misspelt.
"""

from __future__ import annotations

import re
import shlex
import sys
from ast import literal_eval
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain, pairwise

from invoke import Program
from invoke.exceptions import Exit, ParseError
from invoke.parser import ParserContext
from invoke.parser.context import to_flag

from slipway.console import let_go
from slipway.errors import ConfigurationError

_LIST = "invoke --list"
_FORMATS = ("flat", "nested", "json")
_UNKNOWN = re.compile(r"No idea what (?P<word>.+) is!", re.DOTALL)
_WITHOUT_VALUE = re.compile(r"Flag <Argument: (?P<option>[\w-]+).*> needed value and was not given one!")
_NO_NUMBER = re.compile(r"invalid literal for int\(\) with base 10: (?P<word>.+)", re.DOTALL)


class CommandLine(Program):  # type: ignore[misc] # without types
    """Invoke's program, whose errors of reading a command are told as all others, with the exit code of a wrong one.

    Each phase raises Exit when the command cannot be read, and when all there was to do is done.
    """

    def parse_core(self, argv: list[str] | None) -> None:
        """Read what stands before the first command."""
        with self._telling():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Read the commands and their options."""
        with self._telling():
            super().parse_tasks()
        for context in self.tasks:
            if option := self._misspelt(context):
                raise self._of_option(context, option)

    def parse_cleanup(self) -> None:
        """Answer `--help`, `--list` and the like."""
        wanted = self.args["list-format"].value
        if wanted not in _FORMATS:
            raise _told(f"there is no list format {wanted!r}", f"{_LIST} --list-format {_FORMATS[0]}")
        with self._telling():
            super().parse_cleanup()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            try:
                yield
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except ParseError as error:
            raise self._mended(str(error), error.context) from error
        except ValueError as error:
            if (found := _NO_NUMBER.fullmatch(str(error))) is None:
                raise
            raise self._no_number(literal_eval(found["word"])) from error
        except Exit as done:
            if done.code:  # of --list, with what there is none of
                raise _told(str(done.message), _LIST) from done
            raise
        except BrokenPipeError:
            let_go(sys.stdout)
            raise Exit from None

    def _mended(self, said: str, context: ParserContext | None) -> Exit:
        unknown, without_value = _UNKNOWN.fullmatch(said), _WITHOUT_VALUE.fullmatch(said)
        word = literal_eval(unknown["word"]) if unknown else ""
        if context is None or context.name is None:
            if word.startswith("-") and any(word in one.flags for one in self.parser.contexts.values()):
                return _told(f"{word} stands before the command it is an option of", "invoke COMMAND OPTIONS")
            near = _near(word, self.namespace.task_names)
            return _told(f"there is no command {word!r}{near}" if word else said, _LIST)
        if option := self._misspelt(context) or (word if word.startswith("-") else None):
            return self._of_option(context, option)
        if word:
            before = next((one for one, after in pairwise(self._words) if after == word), "")
            return _told(f"{context.name}: {_surplus(context, before, word)}", _help(context))
        if without_value:
            return _told(f"{context.name}: {to_flag(without_value['option'])} needs a value", _help(context))
        if missing := [to_flag(one.name) for one in context.missing_positional_args]:
            lacking = (f"{one} {one.strip('-').upper()}" for one in missing)
            return _told(
                f"{context.name} needs {', '.join(missing)}",
                " ".join([shlex.join(["invoke", *self.argv[1:]]), *lacking]),
            )
        return _told(f"{context.name}: {said}", _help(context))

    @property
    def _words(self) -> list[str]:
        """What was typed, values after = apart."""
        return list(chain.from_iterable(_halves(one) for one in self.argv[1:]))

    def _misspelt(self, context: ParserContext) -> str | None:
        """Return what was meant as an option and taken for the value of one that must be given."""
        values = {one.value for one in context.positional_args if str(one.value).startswith("-")}
        for before, word in pairwise(["", *self.argv[1:]]):
            flag = context.flags.get(before)
            if _halves(word)[0] in values and not (flag and flag.takes_value):
                return str(word)
        return None

    def _of_option(self, context: ParserContext, word: str) -> Exit:
        option = _halves(word)[0]
        if option in ("--help", "-h"):
            self.print_task_help(context.name)
            return Exit()
        return _told(f"{context.name} has no option {option}{_near(option, context.flags)}", _help(context))

    def _no_number(self, word: str) -> Exit:
        words = self._words
        at = next(number for number, one in enumerate(words) if one.endswith(word))
        command = next((one for one in reversed(words[:at]) if one in self.namespace.task_names), "")
        option = words[at].removesuffix(word) or words[at - 1]  # -l20 is --limit 20
        said = f"{option} wants a whole number, not {word!r}"
        return _told(f"{command}: {said}" if command else said, f"invoke --help {command}".rstrip())


def _told(wrong: str, fix: str) -> Exit:
    error = ConfigurationError(wrong, fix=fix)
    return Exit(f"error: {error}", code=error.exit_code)


def _halves(word: str) -> tuple[str, ...]:
    return tuple(word.split("=", 1)) if word.startswith("-") else (word,)


def _surplus(context: ParserContext, before: str, word: str) -> str:
    flag = context.flags.get(before)
    if flag is None:
        return f"it does not take {word!r}"
    return f"{before} is given twice" if flag.takes_value else f"{before} takes no value"


def _near(word: str, known: Iterable[str]) -> str:
    found = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _help(context: ParserContext) -> str:
    return f"invoke --help {context.name}"
