"""A reader over the tokens of one statement, for the statements that are understood without a full parse."""

from __future__ import annotations

import re
from typing import ClassVar

import sqlglot
from snowflake.connector.errors import ProgrammingError
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.tokenizer_core import Token, TokenType

from slipway.sandbox.snowflake import error

Name = tuple[str, ...]

_LOCATION = re.compile(r'@(?:"[^"]*"|[^\s();,])+')
_STRINGS = (TokenType.STRING, TokenType.RAW_STRING)


class _Tokenizer(Snowflake.Tokenizer):
    """Makes tokens of all words: sqlglot's takes what follows CALL or EXECUTE for one text."""

    COMMANDS: ClassVar[set[TokenType]] = set()


_DIALECT = Snowflake()


def quote(identifier: str) -> str:
    """Return `identifier` as a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_name(name: Name) -> str:
    """Return a dotted name with every part quoted."""
    return ".".join(quote(part) for part in name)


def literal(value: object) -> str:
    """Return `value` as a SQL string literal, NULL for None."""
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of `sql`; raises the syntax error Snowflake would."""
    try:
        return _Tokenizer(dialect=_DIALECT).tokenize(sql)
    except sqlglot.errors.SqlglotError as failure:
        raise error.translate(failure) from failure


def split_statements(sql: str) -> tuple[str, ...]:
    """Return the statements of `sql`, cut at the semicolons that are not inside a string or comment."""
    cuts = [token for token in tokenize(sql) if token.token_type == TokenType.SEMICOLON]
    starts = [0, *(cut.end + 1 for cut in cuts)]
    ends = [*(cut.start for cut in cuts), len(sql)]
    return tuple(part for start, end in zip(starts, ends, strict=True) if (part := sql[start:end].strip()))


def _words(token: Token) -> list[Token]:
    """Return the words of a token: the tokenizer makes one of some phrases, such as FILE FORMAT."""
    if " " not in token.text or token.token_type in (*_STRINGS, TokenType.IDENTIFIER):
        return [token]
    return [Token(TokenType.VAR, word, start=token.start, end=token.end) for word in token.text.split()]


class Reader:
    """Reads one statement from left to right; words compare in upper case, strings never match a word."""

    def __init__(self, sql: str, *, keep_semicolons: bool = False) -> None:
        self.sql = sql
        self.tokens = [
            part
            for token in tokenize(sql)
            if keep_semicolons or token.token_type != TokenType.SEMICOLON
            for part in _words(token)
        ]
        self.words = ["" if token.token_type in _STRINGS else token.text.upper() for token in self.tokens]
        self.position = 0

    @property
    def verb(self) -> str:
        """The first word, or an empty string."""
        return self.words[0] if self.words else ""

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        """Return the word `ahead` of the position without moving, or an empty string."""
        index = self.position + ahead
        return self.words[index] if index < len(self.words) else ""

    def take(self, *words: str) -> bool:
        """Move past `words` if they come next, and tell whether they did."""
        if tuple(self.words[self.position : self.position + len(words)]) != words:
            return False
        self.position += len(words)
        return True

    def take_any(self, *alternatives: str) -> str:
        """Move past whichever phrase comes next and return it, or return an empty string."""
        for phrase in alternatives:
            if self.take(*phrase.split()):
                return phrase
        return ""

    def has(self, *words: str) -> bool:
        """Tell whether `words` stand anywhere ahead, without moving."""
        size = len(words)
        return any(tuple(self.words[i : i + size]) == words for i in range(self.position, len(self.words) - size + 1))

    def expect(self, *words: str) -> None:
        """Move past `words`; raises a syntax error when something else stands there."""
        if not self.take(*words):
            raise self.unexpected()

    def unexpected(self) -> ProgrammingError:
        """Return the syntax error for the token at the position."""
        found = self.peek() or ("a string" if not self.at_end else "<EOF>")
        return error.syntax(f"syntax error at position {self.position} unexpected '{found}'.")

    def name(self) -> Name:
        """Read a dotted name: unquoted parts in upper case, quoted parts as written, IDENTIFIER('x') resolved."""
        if self.peek() == "IDENTIFIER" and self.peek(1) == "(":
            self.position += 2
            inner = Reader(self.tokens[self.position].text).name()
            self.position += 1
            self.expect(")")
            return inner
        parts: list[str] = []
        while not self.at_end:
            token = self.tokens[self.position]
            if token.token_type in _STRINGS or not (token.text[:1].isalnum() or token.text[:1] in '_"$' or token.text):
                raise self.unexpected()
            parts.append(token.text if token.token_type == TokenType.IDENTIFIER else token.text.upper())
            self.position += 1
            if not self.take("."):
                break
        if not parts:
            raise self.unexpected()
        return tuple(parts)

    def string(self) -> str | None:
        """Read a string literal if one comes next."""
        if self.at_end or self.tokens[self.position].token_type not in _STRINGS:
            return None
        self.position += 1
        return self.tokens[self.position - 1].text

    def location(self) -> str | None:
        """Read a stage reference (`@stage/path`, quoted or not) or a URL string if one comes next."""
        if self.at_end:
            return None
        token = self.tokens[self.position]
        if token.token_type in _STRINGS:
            return self.string() if token.text.startswith("@") or "://" in token.text else None
        found = _LOCATION.match(self.sql, token.start)
        if found is None:
            return None
        while not self.at_end and self.tokens[self.position].start < found.end():
            self.position += 1
        return found.group()

    def value(self) -> str:
        """Read one token as plain text, whether it is a string, a number or a word."""
        if self.at_end:
            raise self.unexpected()
        self.position += 1
        return self.tokens[self.position - 1].text

    def rest(self) -> str:
        """Return the text from the position to the end of the statement."""
        return "" if self.at_end else self.sql[self.tokens[self.position].start :].rstrip().rstrip(";")

    def string_after(self, word: str) -> str | None:
        """Return the string literal that follows `word` (or `word =`) anywhere ahead of the position."""
        for index in range(self.position, len(self.tokens) - 1):
            if self.words[index] != word:
                continue
            after = index + 1 + (self.words[index + 1] == "=")
            if after < len(self.tokens) and self.tokens[after].token_type in _STRINGS:
                return self.tokens[after].text
        return None
