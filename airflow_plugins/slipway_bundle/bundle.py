"""The DAG bundle of Slipway: follows a pointer, and gives every run the version it began with.

Configuration (`[dag_processor] dag_bundle_config_list`):

    [{"name": "slipway", "classpath": "slipway_bundle.bundle.ReleaseBundle",
      "kwargs": {"source": "s3://<bucket>/airflow", "refresh_interval": 2}}]

Rules, and what each is for (Airflow 3.3.2, `airflow/dag_processing/manager.py`):
- The DAG processor sees one path that never changes: the symbolic link `tracking/current`. Files queued before a switch
  keep their path and are recorded under the version of the bundle at the time they are done.
- For the same reason a switch happens only while no file is being parsed: a parse that ends after it would be recorded
  as the new version, with the old code.
- Files made live get the present time, or they are parsed only after `min_file_process_interval`.
- What cannot be verified is not used: no pointer, a garbled one, a missing archive or another digest leaves the live
  version live, and is told once.
- Workers have the version of the run and nothing else; its digest is read from the store.
- `[core] min_serialized_dag_update_interval` must be 0, or a run is pinned to one version and given another's tasks.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from airflow.configuration import conf
from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion, get_bundle_tracking_file

from slipway_bundle.archive import materialise, point, pointed, superseded, touch
from slipway_bundle.event import Events
from slipway_bundle.pointer import Pointer, Refused, checked_sha256, checked_version
from slipway_bundle.store import Store, open_store

log = logging.getLogger(__name__)
events = Events()

NONE_YET = "none"  # an empty tree to look at before the first release
PATIENCE_S = 60.0  # after which a switch no longer waits for parsers that do not end
HOLD_S = 4.0  # that one refresh holds the DAG processor up at most
KEEP = 5  # versions beside the live one, for the DAG processor


class ReleaseBundle(BaseDagBundle):
    """DAGs of the release that the pointer names, or of one version.

    Args:
        source: `s3://bucket/prefix` or an absolute folder, laid out as the package describes.
        subdir: folder of the archive that holds DAG files; it is on `sys.path` when they are imported.
        patience_s: how long a switch waits for running parsers.
    """

    supports_versioning = True

    def __init__(self, *, source: str, subdir: str = "dags", patience_s: float = PATIENCE_S, **settings: Any) -> None:
        super().__init__(**settings)
        self._store: Store = open_store(source)
        self._source, self._subdir, self._patience_s = source, subdir, patience_s
        self._tracking = self.base_dir / "tracking"
        self._link = self._tracking / "current"
        self._live: Pointer | None = None
        self._waiting: tuple[str, float] | None = None  # version to switch to, and since when (monotonic)

    @property
    def path(self) -> Path:
        """The folder of DAG files; for the DAG processor the same one whichever release is live."""
        if self.version:
            return self.versions_dir / checked_version(self.version) / self._subdir
        return self._link / self._subdir

    def initialize(self) -> None:
        """Have the files on disk. Adopts what is live here and switches nothing: workers call this too.

        Raises:
            Refused: the version of a run cannot be had as it was released.
        """
        if self.version:
            version = checked_version(self.version)
            if not self.path.is_dir():  # it appears whole
                self._materialise(Pointer(version=version, sha256=self._digest(version)), self.versions_dir / version)
        else:
            with self.lock():
                self._adopt()
        super().initialize()

    def refresh(self) -> None:
        """Make live what the pointer names, when it can be verified and nothing is being parsed.

        Side effects: files under the bundle's folder; the link that the DAG processor reads through.
        """
        if self.version:
            raise RuntimeError("a bundle of one version is not refreshed")
        began = time.monotonic()
        try:
            wanted = self._wanted()
            if wanted is not None and wanted != self._live:
                self._bring(wanted, began)
        except Refused as problem:
            events.tell("release_refused", self._source, f"{problem}; live: {self._live_name}")
        except Exception as problem:  # the store does not answer: Airflow's own message would fill the log
            events.tell("release_store", self._source, f"{type(problem).__name__}: {problem}; live: {self._live_name}")
        else:
            for kind in ("release_refused", "release_store"):
                events.forget(kind, self._source)

    def get_current_version(self) -> BundleVersion | None:
        """Return the live version and its digest; None before the first release."""
        if self.version:
            return BundleVersion(version=self.version)
        return BundleVersion(version=self._live.version, data={"sha256": self._live.sha256}) if self._live else None

    @property
    def _live_name(self) -> str:
        return self._live.version if self._live else "nothing"

    def _wanted(self) -> Pointer | None:
        content = self._store.read("CURRENT")
        if content is not None:
            return Pointer.from_bytes(content)
        if self._live is None:
            return None  # an environment before its first deployment
        raise Refused("there is no pointer")

    def _bring(self, wanted: Pointer, began: float) -> None:
        if self._live is not None and wanted.version == self._live.version:
            raise Refused(f"the pointer gives {wanted.version} another sha256 than the one it was made live with")
        self._materialise(wanted, self._tracking / wanted.version)
        if not self._is_quiet(wanted.version, began) or self._wanted() != wanted:  # it moved during the download
            return
        with self.lock():
            touch(self._tracking / wanted.version / self._subdir)
            (self._tracking / wanted.version).touch()
            point(self._link, wanted.version)
            log.info("live: %s, before: %s", wanted.version, self._live_name)
            self._live, self._waiting = wanted, None
            self._clean()

    def _is_quiet(self, version: str, began: float) -> bool:
        """Return whether a switch may happen now.

        Parsers are children of the DAG processor, and a finished one stays a child until its result is recorded. While
        some still run this holds the processor up, so that it starts no new ones, and comes back to it in time for the
        next refresh to find none.
        """
        now = time.monotonic()
        if self._waiting is None or self._waiting[0] != version:
            self._waiting = (version, now)
        if not psutil.Process().children():
            return True
        if now - self._waiting[1] > self._patience_s:
            log.warning("switching to %s although files are still being parsed", version)
            return True
        again = began + self._next_refresh_s
        limit = max(began + HOLD_S, again)
        while (now := time.monotonic()) < limit and (now < again or _is_parsing()):
            time.sleep(0.05)
        return False

    @property
    def _next_refresh_s(self) -> float:
        """Seconds after the start of a refresh at which the DAG processor refreshes again."""
        return max(conf.getfloat("dag_processor", "bundle_refresh_check_interval"), float(self.refresh_interval)) + 0.1

    def _materialise(self, wanted: Pointer, target: Path) -> None:
        """Have the verified tree of a version at `target`; raise `Refused` when what is there had another digest."""
        with self.lock():
            noted = self._noted(wanted.version)
            if target.is_dir():
                if noted == wanted.sha256:
                    return
                if noted is not None:
                    raise Refused(f"{wanted.version} was released with sha256 {noted[:12]}.., now with another")
                shutil.rmtree(target)
            content = self._store.read(f"versions/{wanted.version}.tar.gz")
            if content is None:
                raise Refused(f"there is no archive of {wanted.version}")
            if not self.version:
                self._notes(wanted.version).parent.mkdir(parents=True, exist_ok=True)
                self._notes(wanted.version).write_text(wanted.sha256)
            materialise(content, version=wanted.version, sha256=wanted.sha256, subdir=self._subdir, target=target)
            log.info("unpacked %s (%d bytes) to %s", wanted.version, len(content), target)

    def _digest(self, version: str) -> str:
        """Return the sha256 a version must have: as noted here when it was live, else as the store has it."""
        if noted := self._noted(version):
            return noted
        content = self._store.read(f"versions/{version}.sha256")
        if content is None:
            raise Refused(f"there is no sha256 of {version} to verify it with")
        return checked_sha256(content.decode("ascii", "replace"))

    def _adopt(self) -> None:
        name = pointed(self._link)
        if name is None or name == NONE_YET:
            (self._tracking / NONE_YET / self._subdir).mkdir(parents=True, exist_ok=True)
            point(self._link, NONE_YET)
        elif noted := self._noted(name):
            self._live = Pointer(version=name, sha256=noted)

    def _noted(self, version: str) -> str | None:
        """Return the sha256 a version was made live with on this machine."""
        with contextlib.suppress(FileNotFoundError, Refused):
            return checked_sha256(self._notes(version).read_text())
        return None

    def _notes(self, version: str) -> Path:
        return self._tracking / f"{version}.sha256"

    def _clean(self) -> None:
        """Remove what the DAG processor no longer needs. Copies that workers use are Airflow's to remove."""
        for tree in superseded(self._tracking, live=self._live_name, keep=KEEP):
            with _unused(self.name, tree.name) as unused:
                if unused and tree.name != NONE_YET:
                    shutil.rmtree(tree, ignore_errors=True)


def _is_parsing() -> bool:
    return any(child.status() != psutil.STATUS_ZOMBIE for child in _children())


def _children() -> Iterator[psutil.Process]:
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.status()
            yield child


@contextlib.contextmanager
def _unused(name: str, version: str) -> Iterator[bool]:
    """Hold off tasks of a version while it is removed; give False when one runs (Airflow's `BundleVersionLock`)."""
    try:
        with get_bundle_tracking_file(name, version).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
    except FileNotFoundError:
        yield True
    except BlockingIOError:
        yield False
