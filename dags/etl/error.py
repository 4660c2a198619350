"""Errors of the library.

EtlError
+-- SettingsError   version.json is missing or incomplete
+-- LoadError       what arrived in the warehouse differs from what the source said; nothing was committed
+-- CheckError      the warehouse and the source disagree after a load
+-- QuarantineError delivered files are faulty; whatever else came is loaded
+-- DbtError        dbt failed, or ran nothing
"""

from __future__ import annotations


class EtlError(Exception):
    """Base of all errors raised by this library."""


class SettingsError(EtlError):
    """`version.json` is missing or lacks a key."""


class LoadError(EtlError):
    """Staged rows differ from the source's control totals; the transaction was not begun."""


class CheckError(EtlError):
    """One or more findings after a load; `findings` lists them all."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class QuarantineError(EtlError):
    """Files of the days a run looked at are in quarantine; `findings` lists them all."""

    def __init__(self, findings: tuple[str, ...], *, verdict: str) -> None:
        super().__init__(f"{'; '.join(findings)}. {verdict[:1].upper()}{verdict[1:]}.")
        self.findings = findings


class DbtError(EtlError):
    """dbt ended with an error; the message names what failed."""
