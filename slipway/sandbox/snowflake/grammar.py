"""The grammar of Snowflake Scripting: from the text of a block to the records of `block`.

Rules:
- a statement ends at its semicolon; what is not a word of the language is SQL and is kept as written;
- an expression ends at the word that must follow it (THEN, DO, TO, ...) outside of brackets and CASE .. END;
- what the language has and the interpreter has not (ASYNC, CONTINUE handlers, nested procedures) is refused here,
  before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable

from slipway.sandbox.snowflake import block, error
from slipway.sandbox.snowflake.block import Text
from slipway.sandbox.snowflake.reader import Reader, tokenize

_CLOSING = frozenset({"END", "ELSE", "ELSEIF", "EXCEPTION", "UNTIL", "WHEN"})
_TRANSACTION = frozenset({"TRANSACTION", "WORK", "NAME", ";", ""})


def parse(text: str) -> block.Block:
    """Return the block written in `text`. Raises a syntax error, or the refusal of what is not supported."""
    parser = _Parser(text)
    found = parser.read_block()
    if not parser.at_end:
        raise parser.unexpected()
    return found


def parse_immediate(text: str) -> block.Immediate:
    """Return the EXECUTE IMMEDIATE written in `text`."""
    return _Parser(text).immediate()


def is_block(text: str) -> bool:
    """Tell whether a text is a block and not a statement such as BEGIN TRANSACTION."""
    words = [token.text.upper() for token in tokenize(text)[:2]]
    return words[:1] == ["DECLARE"] or (words[:1] == ["BEGIN"] and len(words) > 1 and words[1] not in _TRANSACTION)


class _Parser(Reader):
    """A reader that keeps the semicolons."""

    def __init__(self, text: str) -> None:
        super().__init__(text, keep_semicolons=True)
        self._forms: dict[str, Callable[[], block.Statement]] = {
            "LET": self._let,
            "IF": self._if,
            "CASE": self._case,
            "FOR": self._for,
            "WHILE": self._while,
            "REPEAT": self._repeat,
            "LOOP": self._loop,
            "BREAK": self._leave,
            "EXIT": self._leave,
            "CONTINUE": self._leave,
            "ITERATE": self._leave,
            "RETURN": self._return,
            "RAISE": self._raise,
            "OPEN": self._open,
            "FETCH": self._fetch,
            "CLOSE": self._close,
            "NULL": self._null,
            "EXECUTE": self.immediate,
        }

    # blocks --------------------------------------------------------------------------------------------------------

    def read_block(self) -> block.Block:
        at = self.offset
        declarations: list[block.Declaration] = []
        if self.take("DECLARE"):
            while self.peek() != "BEGIN":
                declarations.append(self._declaration())
                self._end_statement()
        self.expect("BEGIN")
        body = self._statements()
        catches = self._catches() if self.take("EXCEPTION") else ()
        self.expect("END")
        self._end_statement(optional=self.at_end)
        return block.Block(at=at, declarations=tuple(declarations), body=body, catches=catches)

    @property
    def offset(self) -> int:
        return len(self.sql) if self.at_end else int(self.tokens[self.position].start)

    def _end_statement(self, *, optional: bool = False) -> None:
        if not self.take(";") and not optional and not self.at_end:
            raise self.unexpected()

    def _catches(self) -> tuple[block.Catch, ...]:
        catches = []
        while self.take("WHEN"):
            names = [self.name()[0]]
            while self.take("OR"):
                names.append(self.name()[0])
            if self.take("CONTINUE"):
                raise error.unsupported("CONTINUE handlers of Snowflake Scripting")
            self.take("EXIT")
            self.expect("THEN")
            catches.append(block.Catch(names=tuple(names), body=self._statements()))
        if not catches:
            raise self.unexpected()
        return tuple(catches)

    def _statements(self) -> tuple[block.Statement, ...]:
        found: list[block.Statement] = []
        while not self.at_end and self.peek() not in _CLOSING:
            found.append(self._statement())
        if not found:
            raise self.unexpected()
        return tuple(found)

    def _statement(self) -> block.Statement:
        word, after = self.peek(), self.peek(1)
        if word == "DECLARE" or (word == "BEGIN" and after not in _TRANSACTION):
            return self.read_block()
        if word in ("ASYNC", "AWAIT", "CANCEL"):
            raise error.unsupported(f"{word} in Snowflake Scripting")
        if after == ":=":
            return self._assign()
        form = self._forms.get(word)
        statement = form() if form is not None and not (word == "EXECUTE" and after != "IMMEDIATE") else self._sql()
        self._end_statement()
        return statement

    # variables -----------------------------------------------------------------------------------------------------

    def _declaration(self) -> block.Declaration:
        at, name = self.offset, self.name()[0]
        if self.take("CURSOR", "FOR"):
            return block.LetCursor(at=at, name=name, source=self._rest())
        if self.take("RESULTSET"):
            return block.LetResults(at=at, name=name, query=self._rest() if self._takes_value() else None)
        if self.take("EXCEPTION"):
            return self._exception(at, name)
        if self.peek() == "PROCEDURE":
            raise error.unsupported("procedures inside a block")
        kind = None if self.peek() in ("DEFAULT", ":=", ";") else self._until("DEFAULT", ":=").sql
        value = self._rest() if self._takes_value() else None
        return block.Let(at=at, name=name, kind=kind, value=value)

    def _takes_value(self) -> bool:
        return bool(self.take_any("DEFAULT", ":="))

    def _exception(self, at: int, name: str) -> block.LetException:
        number, message = -20000, name
        if self.take("("):
            negative = self.take("-")
            number = int(self.value()) * (-1 if negative else 1)
            self.expect(",")
            message = self.string() or ""
            self.expect(")")
            if not -20999 <= number <= -20000:
                raise error.syntax(f"invalid exception number {number}: it must be between -20999 and -20000.")
        return block.LetException(at=at, name=name, number=number, message=message)

    def _let(self) -> block.Statement:
        self.expect("LET")
        found = self._declaration()
        if isinstance(found, block.LetException):
            raise self.unexpected()
        if isinstance(found, block.Let) and found.value is None and found.kind is None:
            raise self.unexpected()
        return found

    def _assign(self) -> block.Statement:
        at, name = self.offset, self.name()[0]
        self.expect(":=")
        value = self._rest()
        self._end_statement()
        return block.Assign(at=at, name=name, value=value)

    # branches and loops --------------------------------------------------------------------------------------------

    def _if(self) -> block.Statement:
        at = self.offset
        branches: list[tuple[Text | None, tuple[block.Statement, ...]]] = []
        self.expect("IF")
        while True:
            condition = self._until("THEN")
            self.expect("THEN")
            branches.append((condition, self._statements()))
            if not self.take("ELSEIF"):
                break
        if self.take("ELSE"):
            branches.append((None, self._statements()))
        self.expect("END", "IF")
        return block.If(at=at, branches=tuple(branches))

    def _case(self) -> block.Statement:
        at = self.offset
        self.expect("CASE")
        subject = None if self.peek() == "WHEN" else self._until("WHEN")
        branches: list[tuple[Text | None, tuple[block.Statement, ...]]] = []
        while self.take("WHEN"):
            condition = self._until("THEN")
            self.expect("THEN")
            branches.append((condition, self._statements()))
        if self.take("ELSE"):
            branches.append((None, self._statements()))
        self.expect("END")
        self.take("CASE")
        return block.If(at=at, branches=tuple(branches), subject=subject, is_case=True)

    def _for(self) -> block.Statement:
        at = self.offset
        self.expect("FOR")
        name = self.name()[0]
        self.expect("IN")
        reverse = self.take("REVERSE")
        first = self._until("TO", "DO")
        if not self.take("TO"):
            if len(tokenize(first.sql)) != 1:
                raise error.syntax(f"a FOR loop goes over a cursor or a result set, not over '{first.sql[:60]}'.")
            body, label = self._looped("DO", "FOR")
            return block.Each(at=at, name=name, source=Reader(first.sql).name()[0], body=body, label=label)
        last = self._until("DO", "LOOP")
        body, label = self._looped(self.peek(), "FOR")
        return block.Count(at=at, name=name, first=first, last=last, reverse=reverse, body=body, label=label)

    def _looped(self, opening: str, word: str) -> tuple[tuple[block.Statement, ...], str]:
        self.expect(opening)
        body = self._statements()
        self.expect("END", "LOOP" if opening == "LOOP" else word)
        return body, self._label()

    def _label(self) -> str:
        return "" if self.at_end or self.peek() == ";" else self.name()[0]

    def _while(self) -> block.Statement:
        at = self.offset
        self.expect("WHILE")
        condition = self._until("DO", "LOOP")
        body, label = self._looped(self.peek(), "WHILE")
        return block.Loop(at=at, before=condition, after=None, body=body, label=label)

    def _repeat(self) -> block.Statement:
        at = self.offset
        self.expect("REPEAT")
        body = self._statements()
        self.expect("UNTIL")
        condition = self._until("END")
        self.expect("END", "REPEAT")
        return block.Loop(at=at, before=None, after=condition, body=body, label=self._label())

    def _loop(self) -> block.Statement:
        at = self.offset
        body, label = self._looped("LOOP", "LOOP")
        return block.Loop(at=at, before=None, after=None, body=body, label=label)

    def _leave(self) -> block.Statement:
        at, word = self.offset, self.value().upper()
        return block.Leave(at=at, label=self._label(), again=word in ("CONTINUE", "ITERATE"))

    # other statements ----------------------------------------------------------------------------------------------

    def _return(self) -> block.Statement:
        at = self.offset
        self.expect("RETURN")
        if self.peek() == ";" or self.at_end:
            return block.Return(at=at, value=None)
        if self.take("TABLE", "("):
            if self.peek() in ("SELECT", "WITH"):
                raise error.unsupported("RETURN TABLE of a query; assign it to a RESULTSET first")
            name = self.name()[0]
            self.expect(")")
            return block.Return(at=at, value=None, table=name)
        return block.Return(at=at, value=self._rest())

    def _raise(self) -> block.Statement:
        at = self.offset
        self.expect("RAISE")
        return block.Raise(at=at, name=self._label())

    def _open(self) -> block.Statement:
        at = self.offset
        self.expect("OPEN")
        name = self.name()[0]
        return block.Open(at=at, name=name, using=self._using())

    def _using(self) -> tuple[Text, ...]:
        if not self.take("USING"):
            return ()
        self.expect("(")
        found = []
        while not self.take(")"):
            found.append(self._until(",", ")"))
            self.take(",")
        return tuple(found)

    def _fetch(self) -> block.Statement:
        at = self.offset
        self.expect("FETCH")
        name = self.name()[0]
        self.expect("INTO")
        return block.Fetch(at=at, name=name, into=self._variables())

    def _variables(self) -> tuple[str, ...]:
        found = []
        while True:
            self.take(":")
            found.append(self.name()[0])
            if not self.take(","):
                return tuple(found)

    def _close(self) -> block.Statement:
        at = self.offset
        self.expect("CLOSE")
        return block.Close(at=at, name=self.name()[0])

    def _null(self) -> block.Statement:
        at = self.offset
        self.expect("NULL")
        return block.Nothing(at=at)

    def immediate(self) -> block.Immediate:
        at = self.offset
        self.expect("EXECUTE", "IMMEDIATE")
        statement = self._until("USING")
        return block.Immediate(at=at, statement=statement, using=self._using())

    def _sql(self) -> block.Statement:
        at, start = self.offset, self.position
        end = start
        while end < len(self.tokens) and self.words[end] != ";":
            end += 1
        into = self._into(start, end) if self.peek() in ("SELECT", "WITH", "CALL") else None
        if into is None:
            self.position = end
            return block.Sql(at=at, statement=self._text(start, end))
        self.position = into + 1
        variables = self._variables()
        kept = f"{self._text(start, into).sql} {self._text(self.position, end).sql}".strip()
        self.position = end
        return block.Sql(at=at, statement=Text(sql=kept), into=variables)

    def _into(self, start: int, end: int) -> int | None:
        """Return where INTO :variable stands outside of brackets."""
        depth = 0
        for index in range(start, end):
            depth += (self.words[index] == "(") - (self.words[index] == ")")
            if depth == 0 and self.words[index : index + 2] == ["INTO", ":"]:
                return index
        return None

    # pieces --------------------------------------------------------------------------------------------------------

    def _text(self, start: int, end: int) -> Text:
        if start >= end:
            return Text(sql="")
        return Text(sql=self.sql[self.tokens[start].start : self.tokens[end - 1].end + 1])

    def _rest(self) -> Text:
        return self._until(";")

    def _until(self, *words: str) -> Text:
        """Read an expression up to one of `words`, or the end of the statement. Raises when there is none."""
        start, depth, cases = self.position, 0, 0
        while not self.at_end:
            word = self.peek()
            if word == ";" or (depth == 0 and cases == 0 and word in words):
                break
            depth += (word in ("(", "[")) - (word in (")", "]"))
            cases += (word == "CASE") - (word == "END" and cases > 0)
            self.position += 1
        if self.position == start:
            raise self.unexpected()
        return self._text(start, self.position)
