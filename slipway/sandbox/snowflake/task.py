"""Tasks as objects of the catalog: CREATE, ALTER, DROP, SHOW and DESCRIBE. Nothing runs them here.

https://docs.snowflake.com/en/sql-reference/sql/create-task
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake import error, option, relation
from slipway.sandbox.snowflake.listing import Filter, kept, table
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_STARTED, _SUSPENDED = "started", "suspended"
_SETTINGS = frozenset(
    {
        *("ALLOW_OVERLAPPING_EXECUTION", "COMMENT", "CONFIG", "ERROR_INTEGRATION", "LOG_LEVEL", "OVERLAP_POLICY"),
        *("SCHEDULE", "SERVERLESS_TASK_MAX_STATEMENT_SIZE", "SERVERLESS_TASK_MIN_STATEMENT_SIZE"),
        *("SUCCESS_INTEGRATION", "SUSPEND_TASK_AFTER_NUM_FAILURES", "TARGET_COMPLETION_INTERVAL"),
        *("TASK_AUTO_RETRY_ATTEMPTS", "USER_TASK_MANAGED_INITIAL_WAREHOUSE_SIZE"),
        *("USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS", "USER_TASK_TIMEOUT_MS", "WAREHOUSE"),
        # of the session it would run in
        *("ABORT_DETACHED_QUERY", "AUTOCOMMIT", "BINARY_INPUT_FORMAT", "BINARY_OUTPUT_FORMAT", "DATE_INPUT_FORMAT"),
        *("DATE_OUTPUT_FORMAT", "ERROR_ON_NONDETERMINISTIC_MERGE", "ERROR_ON_NONDETERMINISTIC_UPDATE", "JSON_INDENT"),
        *(
            "LOCK_TIMEOUT",
            "QUERY_TAG",
            "QUOTED_IDENTIFIERS_IGNORE_CASE",
            "ROWS_PER_RESULTSET",
            "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS",
        ),
        *(
            "STATEMENT_TIMEOUT_IN_SECONDS",
            "STRICT_JSON_OUTPUT",
            "TIMESTAMP_INPUT_FORMAT",
            "TIMESTAMP_LTZ_OUTPUT_FORMAT",
        ),
        *("TIMESTAMP_NTZ_OUTPUT_FORMAT", "TIMESTAMP_OUTPUT_FORMAT", "TIMESTAMP_TYPE_MAPPING"),
        *("TIMESTAMP_TZ_OUTPUT_FORMAT", "TIMEZONE", "TIME_INPUT_FORMAT", "TIME_OUTPUT_FORMAT", "TRACE_LEVEL"),
        *("TRANSACTION_ABORT_ON_ERROR", "TRANSACTION_DEFAULT_ISOLATION_LEVEL", "TWO_DIGIT_CENTURY_START"),
        *("UNSUPPORTED_DDL_ACTION", "USE_CACHED_RESULT", "WEEK_OF_YEAR_POLICY", "WEEK_START"),
    }
)
_EVERY = re.compile(r"(\d+)\s+(?:(H|HOURS?)|(M|MINUTES?)|(S|SECONDS?))", re.IGNORECASE)
_CRON = re.compile(r"USING\s+CRON(?:\s+[\w*/,#-]+){5}\s+[A-Za-z][\w/+-]*", re.IGNORECASE)
_SHORTEST, _LONGEST = 10, 8 * 86400  # seconds from one run to the next


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE TASK; returns None for any other CREATE. A new task is suspended."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    if not reader.take("TASK"):
        return None
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    name = session.object_name(reader.name(), "CREATE TASK")
    if reader.peek() == "CLONE":
        raise error.unsupported("CREATE TASK .. CLONE")
    facts = _definition(session, name, reader)
    relation.need_schema(session, name[:2])
    session.instance.access.require_creation(session, "TASK", name[:2])
    if ("TASK", name) in registry.objects:
        if exists_ok:
            return Result.status(f"{name[2]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        session.instance.access.require(session, "TASK", name, "OWNERSHIP")
    registry.created("TASK", name, session.role, definition=json.dumps(facts))
    return Result.status(f"Task {name[2]} successfully created.")


def _definition(session: Session, name: Name, reader: Reader) -> dict[str, Any]:
    settings: dict[str, str] = {}
    after: list[Name] = []
    condition = None
    reader.take("WITH")
    while not reader.take("AS"):
        if reader.take("AFTER"):
            after = _tasks(session, reader)
        elif reader.take("WHEN"):
            condition = _condition(reader)
        elif not reader.take(","):
            settings |= _setting(reader)
    if reader.at_end:
        raise reader.unexpected()
    _check(session, name, settings, after)
    _require_suspended(session, after)
    return {
        "id": str(uuid.uuid4()),
        "settings": settings,
        "after": after,
        "condition": condition,
        "definition": reader.rest(),
        "state": _SUSPENDED,
    }


def _check(session: Session, name: Name, settings: dict[str, str], after: Iterable[Name]) -> None:
    """Raise for a setting there is not, a schedule that is none, one beside predecessors, and tasks in a circle."""
    option.refuse_unknown(settings, _SETTINGS, "TASK")
    schedule = settings.get("SCHEDULE")
    if schedule is not None and not _is_schedule(schedule):
        raise error.syntax(f"invalid value ['{schedule}'] for property 'SCHEDULE'.")
    if schedule is not None and after:
        raise error.syntax("a task has either a SCHEDULE or predecessors (AFTER).")
    if name in _before(session, after):
        raise error.syntax(f"the graph of task '{'.'.join(name)}' has at least one cycle.")


def _is_schedule(text: str) -> bool:
    if found := _EVERY.fullmatch(text.strip()):
        seconds = int(found[1]) * (3600 if found[2] else 60 if found[3] else 1)
        return _SHORTEST <= seconds <= _LONGEST
    return _CRON.fullmatch(text.strip()) is not None


def _before(session: Session, names: Iterable[Name]) -> dict[Name, dict[str, Any]]:
    """Return what is known of tasks and of all that run before them."""
    found: dict[Name, dict[str, Any]] = {}
    waiting = [tuple(name) for name in names]
    while waiting:
        current = waiting.pop()
        if current not in found and ("TASK", current) in session.instance.registry.objects:
            found[current] = need(session, current)
            waiting += [tuple(name) for name in found[current]["after"]]
    return found


def _require_suspended(session: Session, names: Iterable[Name]) -> None:
    """Raise when a task that these belong to the graph of, and that starts it, is started."""
    for name, facts in _before(session, names).items():
        if not facts["after"] and facts["state"] == _STARTED:
            raise error.task_not_suspended(".".join(name))


def _setting(reader: Reader) -> dict[str, str]:
    key = reader.value().upper()
    if key in ("TAG", "FINALIZE"):
        raise error.unsupported(f"{key} of a task")
    reader.expect("=")
    return {key: reader.value()}


def _tasks(session: Session, reader: Reader) -> list[Name]:
    """Read task names that must exist."""
    found = []
    while True:
        written = reader.string()
        name = session.object_name(reader.name() if written is None else Reader(written).name())
        need(session, name)
        found.append(name)
        if not reader.take(","):
            return found


def _condition(reader: Reader) -> str:
    """Read up to the AS that is in no bracket."""
    start, depth = reader.position, 0
    while not reader.at_end and not (depth == 0 and reader.peek() == "AS"):
        depth += (reader.peek() == "(") - (reader.peek() == ")")
        reader.position += 1
    if reader.at_end or reader.position == start:
        raise reader.unexpected()
    return reader.sql[reader.tokens[start].start : reader.tokens[reader.position - 1].end + 1]


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run ALTER TASK; returns None for any other ALTER."""
    reader.expect("ALTER")
    if not reader.take("TASK"):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    name = session.object_name(reader.name(), "ALTER TASK")
    if missing_ok and ("TASK", name) not in registry.objects:
        return Result.status()
    facts = need(session, name)
    action = reader.take_any("RESUME", "SUSPEND", *_CHANGES)
    if not action:
        raise error.unsupported(f"ALTER TASK .. {reader.peek()}")
    if action in _CHANGES:
        session.instance.access.require(session, "TASK", name, "OWNERSHIP")
        _require_suspended(session, [name])
        _CHANGES[action](session, reader, facts)
        _check(session, name, facts["settings"], [tuple(task) for task in facts["after"]])
        _require_suspended(session, [tuple(task) for task in facts["after"]])
    else:
        session.instance.access.require(session, "TASK", name, "OPERATE")
        if action == "RESUME":
            _require_execution(session, name)
            _require_suspended(session, facts["after"])
        facts["state"] = _STARTED if action == "RESUME" else _SUSPENDED
    registry.redefine({("TASK", name): json.dumps(facts)})
    return Result.status()


def _require_execution(session: Session, name: Name) -> None:
    owner = session.instance.registry.owner("TASK", name)
    if not session.instance.access.role_has_account_privilege(owner, "EXECUTE TASK"):
        raise error.task_not_executable()


def _set(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    while not reader.at_end:
        if not reader.take(","):
            facts["settings"] |= _setting(reader)


def _unset(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    while not reader.at_end:
        if not reader.take(","):
            key = reader.value().upper()
            option.refuse_unknown({key: ""}, _SETTINGS, "ALTER TASK .. UNSET")
            facts["settings"].pop(key, None)


def _add_after(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    facts["after"] = [*facts["after"], *(n for n in _tasks(session, reader) if list(n) not in facts["after"])]


def _remove_after(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    gone = [list(name) for name in _tasks(session, reader)]
    facts["after"] = [name for name in facts["after"] if list(name) not in gone]


def _modify_definition(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    facts["definition"] = reader.rest()


def _modify_condition(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    facts["condition"] = reader.rest()


def _remove_condition(session: Session, reader: Reader, facts: dict[str, Any]) -> None:
    facts["condition"] = None


_CHANGES = {
    "SET": _set,
    "UNSET": _unset,
    "ADD AFTER": _add_after,
    "REMOVE AFTER": _remove_after,
    "MODIFY AS": _modify_definition,
    "MODIFY WHEN": _modify_condition,
    "REMOVE WHEN": _remove_condition,
}


def need(session: Session, name: Name) -> dict[str, Any]:
    """Return what is known of a task. Raises 2003 when there is none."""
    definition = session.instance.registry.objects.get(("TASK", name))
    if definition is None:
        raise error.missing("Task", ".".join(name))
    facts: dict[str, Any] = json.loads(definition)
    return facts


def listing(session: Session, wanted: Filter, terse: bool) -> Result:
    """Return what SHOW TASKS answers (https://docs.snowflake.com/en/sql-reference/sql/show-tasks)."""
    tasks = kept(session, wanted, "TASK")
    if terse:
        return table(
            "created_on:t|name|kind|database_name|schema_name|schedule|state",
            [(r[0], r[1], "TASK", r[2], r[3], r[4]["settings"].get("SCHEDULE"), r[4]["state"]) for r in tasks],
        )
    return _described(tasks)


def describe(session: Session, name: Name) -> Result:
    """Return what DESCRIBE TASK answers: the row of SHOW TASKS."""
    need(session, name)
    session.instance.access.require(session, "TASK", name)
    wanted = Filter(like=None, starts=None, limit=None, after=None, scope=name[:2])
    return _described([row for row in kept(session, wanted, "TASK") if row[1] == name[2]])


def _described(tasks: list[tuple[Any, ...]]) -> Result:
    return table(
        "created_on:t|name|id|database_name|schema_name|owner|comment|warehouse|schedule|predecessors|state|definition"
        "|condition|allow_overlapping_execution|error_integration|last_committed_on:t|last_suspended_on:t"
        "|owner_role_type|config|budget|task_relations|last_suspended_reason",
        [_row(*task) for task in tasks],
    )


def _row(created: Any, name: str, database: str, schema: str, facts: dict[str, Any], owner: str) -> tuple[Any, ...]:
    settings, after = facts["settings"], json.dumps([".".join(task) for task in facts["after"]])
    overlapping = settings.get("ALLOW_OVERLAPPING_EXECUTION", "false").lower()
    return (
        *(created, name, facts["id"], database, schema, owner, settings.get("COMMENT", "")),
        *(settings.get("WAREHOUSE"), settings.get("SCHEDULE"), after, facts["state"], facts["definition"]),
        *(facts["condition"], "null" if facts["after"] else overlapping, settings.get("ERROR_INTEGRATION", "null")),
        *(None, None, "ROLE", settings.get("CONFIG"), None, f'{{"Predecessors":{after}}}', None),
    )
