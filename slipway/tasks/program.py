"""The command line as `./invoke` runs it: Invoke's own, and what cannot be read is told with the command that mends it.

Invoke reads what it does not know as the value of an option that must be given: of `deploy --enb staging` the
environment is `--enb`, and `staging` is one word too many. A value that looks like an option is one that is misspelt.
"""

from __future__ import annotations

import re
import sys
from ast import literal_eval
from collections.abc import Iterable
from difflib import get_close_matches

from invoke import Program
from invoke.exceptions import Exit, ParseError
from invoke.parser import ParserContext

from slipway.console import let_go
from slipway.errors import ConfigurationError

_LIST = "invoke --list"
_UNKNOWN = re.compile(r"No idea what (?P<word>.+) is!", re.DOTALL)
_WITHOUT_VALUE = re.compile(r"Flag <Argument: (?P<option>[\w-]+).*> needed value and was not given one!")


class CommandLine(Program):  # type: ignore[misc] # without types
    """Invoke's program, whose errors of reading a command are told as all others, with the exit code of a wrong one."""

    def parse_tasks(self) -> None:
        """Read the commands and their options.

        Raises:
            Exit: they cannot be read.
        """
        try:
            super().parse_tasks()
        except ParseError as error:
            raise _told(self._mended(str(error), error.context)) from error
        except ValueError as error:  # of an option that is a whole number
            raise _told(ConfigurationError(f"a whole number is wanted: {error}", fix=_LIST)) from error
        for context in self.tasks:
            if option := _misspelt(context):
                raise _told(_no_option(context, option))

    def parse_cleanup(self) -> None:
        """Answer `--help`, `--list` and the like.

        Raises:
            Exit: that was all there was to do, or there is no such command to explain.
        """
        try:
            try:
                super().parse_cleanup()
            finally:
                sys.stdout.flush()
        except ParseError as error:
            raise _told(self._no_command(self.args.help.value)) from error
        except BrokenPipeError:
            let_go(sys.stdout)
            raise Exit from None

    def _mended(self, said: str, context: ParserContext | None) -> ConfigurationError:
        unknown, without_value = _UNKNOWN.fullmatch(said), _WITHOUT_VALUE.fullmatch(said)
        word = literal_eval(unknown["word"]) if unknown else ""
        if context is None or context.name is None:
            return self._no_command(word) if word else ConfigurationError(said, fix=_LIST)
        if option := _misspelt(context) or (word if word.startswith("-") else None):
            return _no_option(context, option)
        if word:
            return ConfigurationError(f"{context.name} does not take {word!r}", fix=_help(context))
        if without_value:
            return ConfigurationError(f"{context.name}: --{without_value['option']} needs a value", fix=_help(context))
        if missing := [one.name for one in context.missing_positional_args]:
            return _incomplete(context, missing)
        return ConfigurationError(f"{context.name}: {said}", fix=_help(context))

    def _no_command(self, word: str) -> ConfigurationError:
        return ConfigurationError(f"there is no command {word!r}{_near(word, self.collection.task_names)}", fix=_LIST)


def _told(error: ConfigurationError) -> Exit:
    return Exit(f"error: {error}", code=error.exit_code)


def _misspelt(context: ParserContext) -> str | None:
    values = (one.value for one in context.positional_args)
    return next((value for value in values if isinstance(value, str) and value.startswith("-")), None)


def _no_option(context: ParserContext, word: str) -> ConfigurationError:
    option = word.partition("=")[0]
    return ConfigurationError(
        f"{context.name} has no option {option}{_near(option, context.flags)}", fix=_help(context)
    )


def _incomplete(context: ParserContext, missing: Iterable[str]) -> ConfigurationError:
    usage = (f"--{one.name} {one.value or one.name.upper()}" for one in context.positional_args)
    wanted = " and ".join(f"--{name}" for name in missing)
    return ConfigurationError(f"{context.name} needs {wanted}", fix=" ".join(["invoke", context.name, *usage]))


def _near(word: str, known: Iterable[str]) -> str:
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _help(context: ParserContext) -> str:
    return f"invoke --help {context.name}"
