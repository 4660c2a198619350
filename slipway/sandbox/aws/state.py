"""What the embedded AWS remembers: moto's backends, kept on disk, so that a process that was killed finds them again.

Each service is one file, written whole in one rename, a quarter of a second after a request that may have changed it
and once more when requests have ceased. A kill loses what the last quarter of a second changed, never more.
"""

from __future__ import annotations

import io
import os
import pickle
import time
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import moto
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from moto.backends import get_backend
from moto.core.responses import BaseResponse
from moto.s3.utils import _VersionedKeyStore

from slipway.errors import ConfigurationError

TICK_S = 0.25
TRAILING_S = 1.0  # a request noted as it began may end after the save that followed
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Memory:
    """Keeps the backends of some services in a folder.

    Args:
        folder: one file per service and moto release: another release's files are left alone.
    """

    def __init__(self, folder: Path, services: Iterable[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {service: folder / f"{service}-{moto.__version__}.pickle" for service in services}
        self._noted: dict[str, float] = {}  # service -> when a request that may change it began
        self._guard = Lock()
        self._ending = Event()
        # One for each: what S3 holds takes seconds to write, and the journal of deployments must not wait for it.
        self._threads = [
            Thread(target=self._run, args=(service,), name=f"memory-{service}", daemon=True) for service in self._files
        ]

    def recall(self) -> None:
        """Put back what was kept.

        Raises:
            ConfigurationError: a file cannot be read; nothing was put back.
        """
        found = {service: self._read(file) for service, file in self._files.items() if file.exists()}
        for service, kept in found.items():
            accounts = get_backend(service)
            for account, regions in kept.items():
                for region, backend in regions.items():
                    accounts[account][region] = backend

    def start(self) -> None:
        """Note every request from now on, and keep what it changes.

        Side effects: wraps moto's request entry in this process; a thread for each service.
        """
        BaseResponse.setup_class = self._noting(BaseResponse.setup_class)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Keep everything a last time."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for service in self._files:
            self._keep(service)

    def _read(self, file: Path) -> dict[str, dict[str, Any]]:
        """Return what a file holds: account -> region -> backend."""
        try:
            kept: dict[str, dict[str, Any]] = pickle.loads(file.read_bytes())  # noqa: S301 - written by this very class
        except Exception as error:  # pickle raises whatever the bytes lead it to
            # Without it the others would name keys, buckets and states that are not there.
            raise ConfigurationError(
                f"{file} cannot be read: {error!r}",
                fix=f"./invoke sandbox.down; rm -r {file.parent}  (the embedded AWS then begins anew)",
            ) from error
        return kept

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def setup_class(response: Any, request: Any, *arguments: Any, **named: Any) -> Any:
            if getattr(request, "method", "POST") not in _READS:
                with self._guard:
                    self._noted[str(response.service_name)] = time.monotonic()
            return original(response, request, *arguments, **named)

        return setup_class

    def _run(self, service: str) -> None:
        while not self._ending.wait(TICK_S):
            with self._guard:
                noted = self._noted.get(service)
                if noted is not None and time.monotonic() - noted > TRAILING_S:
                    del self._noted[service]
            if noted is not None:
                self._keep(service)

    def _keep(self, service: str) -> None:
        content = _frozen(service)
        if content is None:
            return
        file = self._files[service]
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(file)


def _frozen(service: str) -> bytes | None:
    """Return the service's backends as bytes; None when requests kept changing them, and the next tick tries again."""
    for _ in range(20):
        stream = io.BytesIO()
        accounts = get_backend(service)
        try:
            _Pickler(stream).dump({account: dict(regions) for account, regions in accounts.items()})
        except RuntimeError:  # a dictionary changed while it was read
            time.sleep(0.01)
            continue
        return stream.getvalue()
    return None


class _Pickler(pickle.Pickler):
    """Knows what pickle does not: private keys are kept as PEM, a bucket's keys with all their versions."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, _VersionedKeyStore):
            return _key_store, ([(key, list(thing.getlist(key))) for key in dict.keys(thing)],)
        if isinstance(thing, EllipticCurvePrivateKey | RSAPrivateKey):
            return _private_key, (thing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),)
        return NotImplemented


def _key_store(versions: list[tuple[str, list[Any]]]) -> Any:
    store = _VersionedKeyStore()
    for key, found in versions:
        store.setlist(key, found)
    return store


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, password=None)
