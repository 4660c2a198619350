"""Evidence in one file: what an auditor can check without us, and that nothing in it can be changed."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.evidence_file import check, pack
from slipway.adapters.signing import KmsSigner, PublicKey, signed
from slipway.approval import Approval
from slipway.documents import digest_of
from slipway.errors import ConfigurationError
from slipway.evidence import APPROVAL_TYPE, PAYLOAD_TYPE, Bundle, statement_of
from tests.core.test_approval import signed_by
from tests.core.test_evidence import POLICY, Told, told

from .conftest import CREDENTIALS

PROJECT = Path(__file__).parents[2]
NAMES = ("README.txt", "bundle.dsse.json", "signed.bin", "signature.der", "statement.json")
SAMPLE = 97  # of the long members every so many-th byte is changed; of the short ones, every one


@dataclass(frozen=True)
class Keys:
    """What signs evidence, and what signs approvals."""

    evidence: KmsSigner
    approvals: KmsSigner

    @property
    def public(self) -> tuple[PublicKey, PublicKey]:
        """What an auditor has of them, as `audit.key` prints it."""
        return self.evidence.verification_key, self.approvals.verification_key


@pytest.fixture(scope="module")
def keys(endpoint: str) -> Keys:
    kms = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).kms
    made = [kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"] for _ in range(2)]
    return Keys(*(KmsSigner(kms, one) for one in made))


def envelope_of(keys: Keys, approval: Approval) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(signed(approval.to_bytes(), APPROVAL_TYPE, keys.approvals))
    return found


def bundle_with(keys: Keys, *approvals: Approval, **changes: Any) -> Bundle:
    """Return the bundle of a deployment that these approvals allowed."""
    envelopes = [envelope_of(keys, one) for one in approvals]
    named = [{"sha256": digest_of(one), "person": "ben", "kind": "approval", "reason": "read"} for one in envelopes]
    found = told()
    events, previous = [], found.events[0].previous
    for event in found.events:
        data = {**event.data, "approvals": named} if event.kind == "began" else event.data
        events.append(event.model_copy(update={"data": data, "previous": previous}))
        previous = events[-1].sha256
    facts = {"approvals": envelopes, "approvals_key": keys.approvals.verification_key.pem, **changes}
    return Told(events=tuple(events), plan=found.plan).bundle(**facts)


def packed(keys: Keys, bundle: Bundle) -> bytes:
    return pack(bundle, signed(statement_of(bundle), PAYLOAD_TYPE, keys.evidence))


@pytest.fixture(scope="module")
def content(keys: Keys) -> bytes:
    return packed(keys, bundle_with(keys, *(signed_by(one, plan=told().plan).approval for one in ("ben", "pat"))))


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "evidence.zip"
    path.write_bytes(content)
    return path


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(found: Mapping[str, bytes], *more: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in (*found.items(), *more):
            archive.writestr(name, content)
    return made.getvalue()


def speaks_against(path: Path, content: bytes, keys: Keys) -> list[str]:
    """Return where something speaks against a file; what is no evidence file at all says that."""
    path.write_bytes(content)
    try:
        return [one.where for one in check(path, keys.public)[1]]
    except ConfigurationError:
        return ["file"]


def test_a_file_holds_and_gives_the_bundle_back(file: Path, keys: Keys) -> None:
    bundle, findings = check(file, keys.public)

    assert findings == ()
    assert bundle is not None
    assert (bundle.deployment, bundle.outcome, len(bundle.approvals)) == ("d-1", "succeeded", 2)
    assert bundle.policy == POLICY.model_dump(mode="json")


def test_the_same_evidence_makes_the_same_file(content: bytes) -> None:
    found = members(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert tuple(archive.namelist()) == NAMES
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert b"openssl dgst -sha256 -verify KEY.pem -signature signature.der signed.bin" in found["README.txt"]
    assert found["signed.bin"].endswith(found["statement.json"])


@pytest.mark.parametrize("name", NAMES)
def test_no_byte_of_a_member_can_be_changed(name: str, tmp_path: Path, content: bytes, keys: Keys) -> None:
    found = members(content)
    whole = found[name]
    places = range(0, len(whole), 1 if len(whole) < 200 else SAMPLE)
    for at in places:
        bent = whole[:at] + bytes([whole[at] ^ (1 << at % 7)]) + whole[at + 1 :]
        assert speaks_against(tmp_path / "bent.zip", zipped({**found, name: bent}), keys) != [], at
    assert len(places) >= 7


def test_no_byte_of_the_file_itself_can_be_changed_to_other_evidence(
    tmp_path: Path, content: bytes, keys: Keys
) -> None:
    """A changed byte is found, or is one that no member is made of, such as a date."""
    whole = members(content)
    for at in range(0, len(content), 41):
        bent = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
        if speaks_against(tmp_path / "bent.zip", bent, keys) == []:
            assert members(bent) == whole, at


@pytest.mark.parametrize("name", NAMES)
def test_a_member_that_is_missing_is_named(name: str, tmp_path: Path, content: bytes, keys: Keys) -> None:
    found = members(content)
    del found[name]

    assert speaks_against(tmp_path / "bent.zip", zipped(found), keys) == (
        ["file"] if name == "bundle.dsse.json" else [name]
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["run-me.sh", "statement.json"])
def test_a_member_that_does_not_belong_is_named(name: str, tmp_path: Path, content: bytes, keys: Keys) -> None:
    """Also one that stands there twice: which of them another tool would take, nobody knows."""
    found = members(content)
    bent = zipped(found, (name, found.get(name, b"echo hello")))

    assert speaks_against(tmp_path / "bent.zip", bent, keys) == [name]


def test_another_key_did_not_sign_it(file: Path, keys: Keys) -> None:
    bundle, findings = check(file, keys.public[::-1])

    assert bundle is None
    assert [(one.where, one.what) for one in findings] == [
        ("bundle.dsse.json", "was not signed by the key, or was changed since")
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"no zip"], ids=["nothing", "empty", "text"])
def test_what_is_no_evidence_file_is_said_to_be_none(tmp_path: Path, content: bytes, keys: Keys) -> None:
    assert speaks_against(tmp_path / "bent.zip", content, keys) == ["file"]
    with pytest.raises(ConfigurationError, match="is no evidence file"):
        check(tmp_path / "missing.zip", keys.public)


# ---- what a deployer could have signed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"plan": "0" * 64}, "approves another plan"),
        ({"environment": "prod"}, "approves another plan"),
        ({"user_id": "AROA1:chris"}, "AROA1:chris wrote it"),
    ],
    ids=["other plan", "other environment", "other person"],
)
def test_an_approval_inside_is_one_of_this_plan_by_who_it_says(
    changes: dict[str, str], what: str, tmp_path: Path, keys: Keys
) -> None:
    path, approval = tmp_path / "evidence.zip", signed_by("ben", plan=told().plan).approval
    approval = approval.model_copy(update=changes)
    path.write_bytes(packed(keys, bundle_with(keys, approval)))
    _, findings = check(path, keys.public)

    assert [one.where for one in findings] == ["approval 1"]
    assert findings[0].what.endswith(what)


@pytest.mark.parametrize("pem", [None, "", "no key"])
def test_a_bundle_that_does_not_name_the_approvers_key_says_so(pem: str | None, tmp_path: Path, keys: Keys) -> None:
    path, approval = tmp_path / "evidence.zip", signed_by("ben", plan=told().plan).approval
    path.write_bytes(packed(keys, bundle_with(keys, approval, approvals_key=pem)))

    assert [(one.where, one.what) for one in check(path, keys.public)[1]] == [
        ("approvals", "name another key than the approvers'")
    ]


def test_a_key_of_the_deployers_own_inside_does_not_make_its_approvals_good(tmp_path: Path, keys: Keys) -> None:
    """The bundle names the key that verifies its approvals; only the key from elsewhere says whose it is."""
    path, approval = tmp_path / "evidence.zip", signed_by("ben", plan=told().plan).approval
    forging = Keys(evidence=keys.evidence, approvals=keys.evidence)
    path.write_bytes(packed(keys, bundle_with(forging, approval)))

    assert [one.where for one in check(path, keys.public)[1]] == ["approvals", "approval 1"]
    assert check(path, forging.public)[1] == ()


def test_approvals_are_not_taken_for_good_without_the_approvers_key(file: Path, keys: Keys) -> None:
    bundle, findings = check(file, keys.public[:1])

    assert bundle is not None
    assert findings[0].what == "cannot be checked without the approvers' public key"


def test_without_approvals_the_key_of_the_evidence_is_enough(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "evidence.zip"
    path.write_bytes(packed(keys, bundle_with(keys, approvals_key=None)))

    assert check(path, keys.public[:1])[1] == ()


def test_an_approval_that_the_deployers_own_key_signed_is_named(tmp_path: Path, keys: Keys) -> None:
    path, approval = tmp_path / "evidence.zip", signed_by("ben", plan=told().plan).approval
    forging = Keys(evidence=keys.evidence, approvals=keys.evidence)
    bundle = bundle_with(forging, approval, approvals_key=keys.approvals.verification_key.pem)
    path.write_bytes(packed(keys, bundle))

    assert [one.where for one in check(path, keys.public)[1]] == ["approval 1"]


def test_an_approval_dropped_or_added_before_signing_is_found(tmp_path: Path, keys: Keys) -> None:
    path, approvals = tmp_path / "evidence.zip", [signed_by(one, plan=told().plan).approval for one in ("ben", "pat")]
    bundle = bundle_with(keys, *approvals)
    for held, said in (
        (bundle.approvals[:1], "lacks an approval that counted"),
        ((*bundle.approvals, envelope_of(keys, signed_by("chris", plan=told().plan).approval)), "did not count"),
    ):
        path.write_bytes(packed(keys, bundle.model_copy(update={"approvals": held})))
        assert any(said in one.what for one in check(path, keys.public)[1])


# ---- without us, and without a network -----------------------------------------------------------------------------


def openssl(folder: Path, *, key: str) -> subprocess.CompletedProcess[str]:
    """Run the very command that README.txt gives."""
    program = shutil.which("openssl")
    assert program is not None, "these tests need the openssl program on PATH, as auditors have it"
    (line,) = [one.strip() for one in (folder / "README.txt").read_text().splitlines() if "openssl dgst" in one]
    command = [program, *line.replace("KEY.pem", key).split()[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_openssl_alone_verifies_the_signature(tmp_path: Path, file: Path, keys: Keys) -> None:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "right.pem").write_text(keys.evidence.verification_key.pem)
    (tmp_path / "wrong.pem").write_text(keys.approvals.verification_key.pem)

    good, bad = openssl(tmp_path, key="right.pem"), openssl(tmp_path, key="wrong.pem")
    assert (good.returncode, good.stdout.strip()) == (0, "Verified OK"), good.stderr
    assert bad.returncode != 0
    (tmp_path / "signed.bin").write_bytes((tmp_path / "signed.bin").read_bytes().replace(b"succeeded", b"Succeeded"))
    assert openssl(tmp_path, key="right.pem").returncode != 0


# Python tells an audit hook of every use of a socket before it happens: https://docs.python.org/3/library/audit_events.html
_OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        raise SystemExit(f"used the network: {event} {arguments}")

sys.addaudithook(refuse)
if sys.argv[1] == "socket":
    import socket
    socket.create_connection(("127.0.0.1", 9))
from invoke.main import program
program.run(["invoke", "audit.check", "--file", sys.argv[1], "--key", sys.argv[2]])
"""


def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _OFFLINE, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_checks_a_file_without_a_network(tmp_path: Path, file: Path, keys: Keys) -> None:
    right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
    one = tmp_path / "one.pem"
    right.write_text("".join(key.pem for key in keys.public))
    wrong.write_text("".join(key.pem for key in keys.public[::-1]))
    one.write_text(keys.public[0].pem)

    watched = offline("socket", "")
    assert "used the network: socket." in watched.stderr
    good, bad, half = (offline(str(file), str(key)) for key in (right, wrong, one))
    assert (good.returncode, "2 approvals" in good.stdout) == (0, True), good.stderr
    assert (bad.returncode, "was not signed by the key" in bad.stderr) == (6, True), bad.stderr
    assert (half.returncode, "without the approvers' public key" in half.stderr) == (6, True), half.stderr
