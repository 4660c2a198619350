"""Whether migrations may take away what releases need, with the releases and the lineage that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from slipway.adapters.column_use import (
    needs_of_manifest,
    needs_of_model,
    needs_of_pipelines,
    needs_of_sql,
    sources_in,
    taken_by,
)
from slipway.adapters.snowflake import STATEMENT_TABLE
from slipway.adapters.statement_journal import StatementJournal
from slipway.deployment import Deployment
from slipway.errors import Blocked, ConfigurationError
from slipway.lineage import Contraction, Need, Needy, Place, Taken, contraction_by, needed_by
from slipway.migration import SCRIPTS_FOLDER, kind_of, pending_scripts, scripts_in
from slipway.observation import Observation
from slipway.release import Release
from slipway.rollback import earlier_successes, live_in
from slipway.site import Site
from slipway.statement import standing_of

_SCRIPTS = f"snowflake_migrations/{SCRIPTS_FOLDER}/"


def contraction_of(site: Site, release: Release, seen: Observation) -> Contraction:
    """Return what the pending scripts of a release take that others need. No side effects.

    Raises:
        ConfigurationError: a release that a rollback may go to is not kept any more as it was.
    """
    pending = pending_scripts(release.manifest.components["migrations"], seen.warehouse.migrations)
    taken = _taken(release, pending)
    if not taken:
        return Contraction()
    live, complete = live_in(seen), seen.warehouse.complete_slots
    history = site.history()
    found = [Needy(version=release.short_id, place="deployed", needs=tuple(_needs(site, release)))]
    if seen.pointer is not None:
        current = site.bucket.release(seen.pointer.release)
        found.append(Needy(version=seen.pointer.version, place="live", needs=tuple(_needs(site, current))))
    for one in earlier_successes(history, live):
        place: Place = "retained" if one.slot in complete else "earlier"
        earlier = site.bucket.release(one.release)
        found.append(Needy(version=one.version, place=place, needs=tuple(_needs(site, earlier))))
    return contraction_by(taken, found)


def require_reachable(site: Site, target: Deployment) -> None:
    """Return when nothing that the target of a rollback needs was taken by scripts that came after it.

    Raises:
        Blocked: a script that was applied since ended this rollback.
    """
    applied = {one.script for one in site.warehouse.migrations() if one.succeeded} | _half_applied(site)
    release = site.bucket.release(target.release)
    own = {one.name for one in scripts_in(release.manifest.components["migrations"])}
    taken = [one for newer in _since(site, target) for one in _taken(newer, sorted(applied - own))]
    missed = {str(one): (one.script, by) for one in taken if (by := needed_by(one, _needs(site, release)))}
    if missed:
        said = "; ".join(f"{script} took {what}, which {by[0]} needs" for what, (script, by) in missed.items())
        raise Blocked(
            f"the rollback to {target.version} was ended: {said}",
            fix="go forward: commit the change that is needed, then invoke deploy --env ENV",
        )


def _half_applied(site: Site) -> set[str]:
    """Return the scripts of which a part may stand."""
    if not site.warehouse.has_own_table(STATEMENT_TABLE):
        return set()
    marks = StatementJournal(site.session, site.environment.warehouse.ops_database).marks()
    return {script for script, said in marks.items() if standing_of(said).is_half}


def _since(site: Site, target: Deployment) -> Iterator[Release]:
    """Yield the releases whose scripts may have been applied since a deployment, each once."""
    history = site.history()
    after = history[[one.id for one in history].index(target.id) + 1 :]
    for release in dict.fromkeys(one.release for one in after if one.release != target.release):
        try:
            yield site.bucket.release(release)
        except ConfigurationError:  # it failed before it was uploaded, and so before it migrated
            continue


def _taken(release: Release, names: Sequence[str]) -> tuple[Taken, ...]:
    """Return what scripts of a release take; what an R or A script makes anew it takes from nobody."""
    texts = {name: release.files.get(f"{_SCRIPTS}{name}") for name in names if kind_of(name) == "V"}
    return tuple(one for name, text in texts.items() if text for one in taken_by(name, text.decode()))


def _needs(site: Site, release: Release) -> Iterable[Need]:
    """Yield what a release needs of the migrated database: its dbt models, its pipelines, its R and A scripts."""
    manifest = site.bucket.dbt_manifest(release.slot)
    if manifest is not None:
        yield from needs_of_manifest(manifest, database=site.environment.warehouse.raw_database)
    else:
        sources = sources_in(release.files)
        for path, text in release.files.items():
            if path.startswith("dbt/") and path.endswith(".sql"):
                yield from needs_of_model(f"model {PurePosixPath(path).stem}", text.decode(), sources)
    yield from needs_of_pipelines(release.files)
    for path, text in release.files.items():
        if path.startswith(_SCRIPTS) and kind_of(PurePosixPath(path).name) in "RA":
            yield from needs_of_sql(PurePosixPath(path).name, text.decode())
