"""Evidence in one file for an auditor: checked with Slipway or with openssl alone, without any network.

Contents: `bundle.dsse.json` (the envelope as it is kept), `signed.bin` and `signature.der` (the same, cut apart for
openssl), `statement.json` (what was signed, to be read), `README.txt` (the commands).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from slipway.adapters.signing import BadSignature, PublicKey, opened, parts_of
from slipway.approval import Approval
from slipway.audit import Finding, is_writers_own
from slipway.documents import canonical, digest_of
from slipway.errors import ConfigurationError
from slipway.evidence import APPROVAL_TYPE, PAYLOAD_TYPE, Bundle, problems_of

ENVELOPE = "bundle.dsse.json"
# A part of the format: a file with another text does not hold, so that nobody has an auditor follow other advice.
_README = """Evidence of deployment {deployment} to {environment}, which {outcome}.

Check the signature with nothing but openssl and the public keys, which must come from elsewhere than this file
(invoke audit.key --env {environment}: the key of the evidence, then that of the approvals):

    openssl dgst -sha256 -verify KEY.pem -signature signature.der signed.bin

Check everything (signature, chain of events, plan, policy, approvals) with Slipway, without a network:

    invoke audit.check --file FILE.zip --key KEY.pem

signed.bin is "DSSEv1", the length and text of the type, the length and text of statement.json:
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""
_ONE_TIME = (1980, 1, 1, 0, 0, 0)  # the same evidence makes the same file


def pack(bundle: Bundle, envelope: bytes) -> bytes:
    """Return the file of a bundle. No side effects."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _members(bundle, envelope).items():
            archive.writestr(zipfile.ZipInfo(name, _ONE_TIME), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _members(bundle: Bundle, envelope: bytes) -> dict[str, bytes]:
    """Return name -> content of everything the file of a bundle holds."""
    signed, signature = parts_of(envelope)
    told = _README.format(deployment=bundle.deployment, environment=bundle.environment, outcome=bundle.outcome)
    return {
        "README.txt": told.encode(),
        ENVELOPE: envelope,
        "signed.bin": signed,
        "signature.der": signature,
        "statement.json": signed.split(b" ", 4)[4],
    }


def check(file: Path, keys: Sequence[PublicKey]) -> tuple[Bundle | None, tuple[Finding, ...]]:
    """Return the bundle in `file`, and everything that speaks against it. No network, no side effects.

    Args:
        keys: that of the evidence, then that of the approvals: the one in the bundle is the deployer's word.

    Raises:
        ConfigurationError: the file is no evidence file.
    """
    names, contents = _contents(file)
    try:
        statement = opened(contents[ENVELOPE], PAYLOAD_TYPE, keys[0])
        bundle = Bundle.from_mapping(statement.get("predicate", {}), origin=str(file))
    except (BadSignature, ConfigurationError) as error:
        return None, (Finding(where=ENVELOPE, what=str(error).splitlines()[0]),)
    findings = [Finding(where=ENVELOPE, what=said) for said in problems_of(statement, bundle)]
    findings += approval_findings(bundle, keys[1] if len(keys) > 1 else None)
    members = _members(bundle, contents[ENVELOPE])
    findings += [
        Finding(where=name, what="is not what belongs to the envelope")
        for name, content in members.items()
        if contents.get(name) != content
    ]
    findings += [
        Finding(where=name, what="does not belong into the file")
        for name in sorted(set(names))
        if name not in members or names.count(name) > 1
    ]
    return bundle, tuple(findings)


def _contents(file: Path) -> tuple[list[str], dict[str, bytes]]:
    """Return the names in `file`, and name -> content; raise `ConfigurationError` when it is no evidence file."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            contents = {name: archive.read(name) for name in names}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ConfigurationError(
            f"{file} is no evidence file, or was damaged: {error}", fix="invoke audit.evidence makes one"
        ) from error
    if ENVELOPE not in contents:
        raise ConfigurationError(
            f"{file} is no evidence file: it holds no {ENVELOPE}", fix="invoke audit.evidence makes one"
        )
    return names, contents


def approval_findings(bundle: Bundle, key: PublicKey | None) -> list[Finding]:
    """Return what is wrong with the approvals that a bundle holds: each must be signed, and for this plan."""
    if bundle.approvals and key is None:
        return [Finding(where="approvals", what="cannot be checked without the approvers' public key")]
    plan = digest_of(bundle.plan)
    findings = []
    if bundle.approvals and key is not None and bundle.approvals_key != key.pem:
        findings.append(Finding(where="approvals", what="name another key than the approvers'"))
    for number, envelope in enumerate(bundle.approvals, start=1):
        where = f"approval {number}"
        try:
            statement = opened(canonical(envelope), APPROVAL_TYPE, key or PublicKey(pem=""))
            approval = Approval.from_mapping(statement, origin=where)
        except (BadSignature, ConfigurationError) as error:
            findings.append(Finding(where=where, what=str(error).splitlines()[0]))
            continue
        if (approval.plan, approval.environment) != (plan, bundle.environment):
            findings.append(Finding(where=where, what="approves another plan"))
        if not is_writers_own(approval):
            findings.append(
                Finding(where=where, what=f"says it is {approval.identity}'s, and {approval.user_id} wrote it")
            )
    return findings
