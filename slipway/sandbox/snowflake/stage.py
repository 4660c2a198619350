"""Stages and file formats, and the commands on files in stages: LIST, REMOVE and PUT.

Rules:
- a stage with a URL stands for an S3 location, one without for a folder of the state; both are objects of a schema,
  with an owner, grants and future grants;
- reading an external stage needs USAGE on it, an internal one READ, putting a file there WRITE
  (https://docs.snowflake.com/en/user-guide/security-access-control-privileges#stage-privileges);
- credentials, encryption and storage integrations are accepted and not used: the server reaches S3 by its environment.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snowflake.connector.errors import ProgrammingError

from slipway.sandbox.snowflake import error, option
from slipway.sandbox.snowflake.fileformat import FileFormat
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.storage import Location, StagedFile

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_STAGE_OPTIONS = frozenset(
    {
        "URL",
        "STORAGE_INTEGRATION",
        "CREDENTIALS",
        "ENCRYPTION",
        "FILE_FORMAT",
        "DIRECTORY",
        "COMMENT",
        "AWS_ACCESS_POINT_ARN",
        "USE_PRIVATELINK_ENDPOINT",
    }
)
_PUT_OPTIONS = frozenset({"PARALLEL", "AUTO_COMPRESS", "SOURCE_COMPRESSION", "OVERWRITE"})
_REFERENCE = re.compile(r'@(?P<name>(?:"[^"]*"|[^/"])+)/?(?P<path>.*)', re.DOTALL)
_MODIFIED = "%a, %d %b %Y %H:%M:%S GMT"


class Stage:
    """One stage as it is kept: JSON under its name in the registry."""

    def __init__(self, name: Name, definition: str) -> None:
        facts = json.loads(definition)
        self.name = name
        self.url: str = facts["url"]
        self.folder: str = facts["folder"]
        self.format: dict[str, option.Option] = _thawed(facts["format"])

    @property
    def is_external(self) -> bool:
        """Whether its files are in a bucket."""
        return bool(self.url)

    def location(self, session: Session) -> Location:
        """Return where its files are."""
        storage = session.instance.storage
        return storage.at(self.url) if self.url else storage.inside(self.folder, self.name[2])

    def require(self, session: Session, *, writing: bool = False) -> None:
        """Raise 2003 or 3001 unless the role may use it."""
        internal = "WRITE" if writing else "READ"
        session.instance.access.require(session, "STAGE", self.name, "USAGE" if self.url else internal)


# CREATE, DROP ------------------------------------------------------------------------------------------------------


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE STAGE and CREATE FILE FORMAT; returns None for any other CREATE."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    temporary = bool(reader.take_any("TEMPORARY", "TEMP"))
    kind = reader.take_any("STAGE", "FILE FORMAT")
    if not kind:
        return None
    if temporary and kind == "FILE FORMAT":
        raise error.unsupported("CREATE TEMPORARY FILE FORMAT")
    session = cursor.session
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    name = session.object_name(reader.name(), f"CREATE {kind}")
    options = option.read_options(reader)
    if not session.instance.has_schema(name[:2]):
        raise error.missing("Schema", ".".join(name[:2]))
    session.instance.access.require_creation(session, kind, name[:2])
    definition = _stage_definition(session, options) if kind == "STAGE" else _format_definition(options)
    registry = session.instance.registry
    if (kind, name) in registry.objects:
        if exists_ok:
            return Result.status(f"{name[2]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        session.instance.access.require(session, kind, name, "OWNERSHIP")
        _forget(session, kind, name)
    registry.created(kind, name, session.role, definition=definition)
    if temporary:
        session.temporary_stages.add(name)
    shown = "Stage area" if kind == "STAGE" else "File format"
    return Result.status(f"{shown} {name[2]} successfully created.")


def _stage_definition(session: Session, options: option.Options) -> str:
    option.refuse_unknown(options, _STAGE_OPTIONS, "STAGE")
    url = option.text(options, "URL")
    if url:
        session.instance.storage.at(url)  # refuses what is not S3
    declared = option.group(options, "FILE_FORMAT")
    if declared and "FORMAT_NAME" not in declared:
        FileFormat.from_options(declared)
    facts = {
        "url": url if not url or url.endswith("/") else f"{url}/",
        "folder": "" if url else uuid.uuid4().hex,
        "format": dict(declared),
        "comment": option.text(options, "COMMENT"),
        "integration": option.text(options, "STORAGE_INTEGRATION"),
    }
    return json.dumps(facts)


def _format_definition(options: option.Options) -> str:
    FileFormat.from_options(options)
    return json.dumps(dict(options))


def handle_drop(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DROP STAGE and DROP FILE FORMAT; returns None for any other DROP."""
    reader.expect("DROP")
    kind = reader.take_any("STAGE", "FILE FORMAT")
    if not kind:
        return None
    missing_ok = reader.take("IF", "EXISTS")
    session = cursor.session
    name = session.object_name(reader.name(), f"DROP {kind}")
    if (kind, name) not in session.instance.registry.objects:
        if missing_ok:
            return Result.status(f"Drop statement executed successfully ({name[2]} already dropped).")
        raise error.missing(kind.capitalize(), ".".join(name))
    session.instance.access.require(session, kind, name, "OWNERSHIP")
    _forget(session, kind, name)
    return Result.status(f"{name[2]} successfully dropped.")


def _forget(session: Session, kind: str, name: Name) -> None:
    registry = session.instance.registry
    if kind == "STAGE" and (folder := Stage(name, registry.objects[(kind, name)]).folder):
        session.instance.storage.discard(folder)
    session.temporary_stages.discard(name)
    registry.drop_object(kind, name)


def drop_temporary(session: Session) -> None:
    """Drop the temporary stages of a session that ends."""
    for name in sorted(session.temporary_stages):
        if ("STAGE", name) in session.instance.registry.objects:
            _forget(session, "STAGE", name)


# looking up --------------------------------------------------------------------------------------------------------


def resolve(session: Session, reference: str) -> tuple[Stage, str]:
    """Return the stage of `@[db.][schema.]stage[/path]` and the path in it. Raises 2003 for a stage there is not."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise error.syntax(f"'{reference}' is no stage reference.")
    if found["name"][0] in "~%" or ".%" in found["name"]:
        raise error.unsupported(f"user stages and table stages ({reference})")
    name = session.object_name(Reader(found["name"]).name(), "this operation")
    definition = session.instance.registry.objects.get(("STAGE", name))
    if definition is None:
        raise error.missing("Stage", ".".join(name))
    return Stage(name, definition), found["path"]


def format_of(session: Session, *layers: option.Options) -> FileFormat:
    """Return the file format of settings, each layer overriding those before; FORMAT_NAME brings in a named one."""
    merged: dict[str, option.Option] = {}
    for layer in layers:
        if layer:
            merged = dict(layer)  # COPY's own FILE_FORMAT replaces the one of the stage
    named = merged.pop("FORMAT_NAME", None)
    if isinstance(named, str):
        name = session.object_name(Reader(named).name(), "this operation")
        definition = session.instance.registry.objects.get(("FILE FORMAT", name))
        if definition is None:
            raise error.missing("File format", ".".join(name))
        merged = {**_thawed(json.loads(definition)), **merged}
    return FileFormat.from_options(merged)


def _thawed(facts: dict[str, Any]) -> dict[str, option.Option]:
    """Return options as they were before JSON made lists of tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}


# LIST, REMOVE, PUT -------------------------------------------------------------------------------------------------


def _referenced(cursor: Cursor, reader: Reader, *, writing: bool) -> tuple[Stage, str]:
    reader.value()
    reference = reader.location()
    if reference is None or not reference.startswith("@"):
        raise reader.unexpected()
    found, path = resolve(cursor.session, reference)
    found.require(cursor.session, writing=writing)
    return found, path


def _matching(session: Session, found: Stage, path: str, reader: Reader) -> tuple[Location, list[StagedFile]]:
    options = option.read_options(reader)
    option.refuse_unknown(options, frozenset({"PATTERN"}), "LIST")
    pattern = option.text(options, "PATTERN", ".*")
    location = found.location(session)
    return location, [file for file in location.list(path) if re.fullmatch(pattern, file.shown)]


def handle_list(cursor: Cursor, reader: Reader) -> Result | None:
    """Run LIST @stage[/path] [PATTERN = '..']."""
    found, path = _referenced(cursor, reader, writing=False)
    _, files = _matching(cursor.session, found, path, reader)
    rows = [(file.shown, file.size, file.digest, file.modified.strftime(_MODIFIED)) for file in files]
    columns = [("name", "VARCHAR"), ("size", "BIGINT"), ("md5", "VARCHAR"), ("last_modified", "VARCHAR")]
    return Result.of(columns, rows)


def handle_remove(cursor: Cursor, reader: Reader) -> Result | None:
    """Run REMOVE @stage[/path] [PATTERN = '..']. Side effects: the files are deleted."""
    found, path = _referenced(cursor, reader, writing=True)
    location, files = _matching(cursor.session, found, path, reader)
    for file in files:
        location.remove(file)
    return Result.of([("name", "VARCHAR"), ("result", "VARCHAR")], [(file.shown, "removed") for file in files])


def handle_put(cursor: Cursor, reader: Reader) -> Result | None:
    """Run PUT file://.. @stage[/path]: answers where the client is to copy its files, which is on this machine."""
    reader.expect("PUT")
    source = reader.string()
    if source is None:
        found = re.compile(r"file://\S+").match(reader.sql, reader.tokens[reader.position].start)
        if found is None:
            raise reader.unexpected()
        source = found.group()
        while not reader.at_end and reader.tokens[reader.position].start < found.end():
            reader.position += 1
    reference = reader.location()
    if reference is None:
        raise reader.unexpected()
    target, path = resolve(cursor.session, reference)
    if target.is_external:
        raise error.syntax("PUT is not allowed on external stages.")
    target.require(cursor.session, writing=True)
    options = option.read_options(reader)
    option.refuse_unknown(options, _PUT_OPTIONS, "PUT")
    folder = cursor.session.instance.storage.inside(target.folder, target.name[2]).path
    destination = (folder / path).resolve()
    if not destination.is_relative_to(folder.resolve()):
        raise error.syntax(f"'{path}' leaves the stage.")
    destination.mkdir(parents=True, exist_ok=True)
    cursor.upload = {
        "stageInfo": {"locationType": "LOCAL_FS", "location": f"{destination}/", "creds": {}},
        "src_locations": [source.removeprefix("file://")],
        "parallel": option.number(options, "PARALLEL", 4),
        "autoCompress": option.flag(options, "AUTO_COMPRESS", default=True),
        "sourceCompression": option.text(options, "SOURCE_COMPRESSION", "AUTO_DETECT").lower(),
        "overwrite": option.flag(options, "OVERWRITE", default=False),
        "command": "UPLOAD",
    }
    return Result.status()


def handle_get(cursor: Cursor, reader: Reader) -> Result | None:
    """Refuse GET."""
    raise error.unsupported("GET (downloading files of a stage)")


def put_here(upload: dict[str, Any]) -> Result:
    """Copy the files of a PUT on behalf of a client in this process, as the connector does over the wire."""
    import glob
    import gzip
    import shutil

    rows: list[Sequence[Any]] = []
    target = Path(upload["stageInfo"]["location"])
    sources = [Path(found) for pattern in upload["src_locations"] for found in sorted(glob.glob(pattern))]
    if not sources:
        raise ProgrammingError(msg=f"File doesn't exist: {upload['src_locations']}", errno=253006, sqlstate="22000")
    for source in sources:
        packed = upload["autoCompress"] and source.suffix != ".gz"
        stored = target / (f"{source.name}.gz" if packed else source.name)
        skipped = stored.exists() and not upload["overwrite"]
        if not skipped and packed:
            with source.open("rb") as plain, gzip.open(stored, "wb") as compressed:
                shutil.copyfileobj(plain, compressed)
        elif not skipped:
            shutil.copyfile(source, stored)
        sizes = source.stat().st_size, stored.stat().st_size
        kinds = "GZIP" if source.suffix == ".gz" else "NONE", "GZIP" if stored.suffix == ".gz" else "NONE"
        rows.append((source.name, stored.name, *sizes, *kinds, "SKIPPED" if skipped else "UPLOADED", ""))
    texts = (
        "source",
        "target",
        "source_size",
        "target_size",
        "source_compression",
        "target_compression",
        "status",
        "message",
    )
    return Result.of([(name, "BIGINT" if name.endswith("_size") else "VARCHAR") for name in texts], rows)
