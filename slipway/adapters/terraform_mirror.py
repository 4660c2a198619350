"""Where Terraform finds its providers on this machine: a mirror on disk, or the registry.

Rules:
- A CLI configuration the user has is left alone; a `TF_CLI_CONFIG_FILE` that points nowhere is dropped.
- Else, when a folder of the usual roots holds every provider of the lock file for this platform, a CLI configuration
  names that folder for them, and the registry for everything else. `TF_PLUGIN_MIRROR` names such a folder outright.
- Else the registry, with a cache, so that a provider is downloaded once.
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import ConfigurationError

# Patterns of folders that may hold `<registry host>/<namespace>/<type>/...`; `{home}` and `{data}` are the user's.
ROOTS = (
    "{home}/.terraform.d/plugins",
    "{data}/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "{home}/.terraform.d/*",
    "{data}/terraform/*",
    "/opt/*",
    "/usr/local/share/*",
    "/usr/share/*",
    "/usr/lib/*",
)

FILE = "mirror.tfrc"  # the CLI configuration written here

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_LOCKED = re.compile(r'provider "(?P<source>[^"]+)" \{\s*version\s*=\s*"(?P<version>[^"]+)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """One entry of a lock file: `registry.terraform.io/hashicorp/aws` and its version."""

    source: str
    version: str

    def is_in(self, mirror: Path, system: str) -> bool:
        """Return whether `mirror` holds it for `system`, unpacked or as the archive a registry serves."""
        folder, name = mirror / self.source, self.source.rpartition("/")[2]
        archive = folder / f"terraform-provider-{name}_{self.version}_{system}.zip"
        return (folder / self.version / system).is_dir() or archive.is_file()


def configure(surroundings: Mapping[str, str], *, lock_file: Path, build: Path) -> dict[str, str]:
    """Return `surroundings` with what makes `terraform init` find the providers of `lock_file`.

    Side effects: writes `<build>/mirror.tfrc`, or makes the cache `<build>/terraform-providers`.
    """
    environment = dict(surroundings)
    if has_own_configuration(environment):
        return environment
    environment.pop("TF_CLI_CONFIG_FILE", None)
    environment.pop("TERRAFORM_CONFIG", None)
    providers = locked_providers(lock_file)
    mirror = find_mirror(environment, providers)
    if mirror is not None:
        environment["TF_CLI_CONFIG_FILE"] = str(_write_configuration(build / FILE, mirror, providers))
    elif "TF_PLUGIN_CACHE_DIR" not in environment:
        cache = build / "terraform-providers"
        cache.mkdir(parents=True, exist_ok=True)  # terraform refuses one that does not exist
        environment["TF_PLUGIN_CACHE_DIR"] = str(cache)
    return environment


def has_own_configuration(environment: Mapping[str, str]) -> bool:
    """Return whether the user has a CLI configuration that exists."""
    named = environment.get("TF_CLI_CONFIG_FILE") or environment.get("TERRAFORM_CONFIG")
    return Path(named or _home(environment) / ".terraformrc").is_file()


def find_mirror(environment: Mapping[str, str], providers: tuple[Provider, ...]) -> Path | None:
    """Return the first folder that holds every provider for this platform, or None.

    Raises:
        ConfigurationError: `TF_PLUGIN_MIRROR` names a folder that does not hold them.
    """
    system = _system()
    if named := environment.get("TF_PLUGIN_MIRROR"):
        missing = [one for one in providers if not one.is_in(Path(named), system)]
        if missing:
            names = ", ".join(f"{one.source} {one.version} ({system})" for one in missing)
            raise ConfigurationError(
                f"the provider mirror {named} (TF_PLUGIN_MIRROR) does not hold {names}",
                fix=f"terraform -chdir=terraform/environments/staging providers mirror {named}",
            )
        return Path(named).resolve()
    for folder in _candidates(environment):
        if providers and all(one.is_in(folder, system) for one in providers):
            return folder
    return None


def locked_providers(lock_file: Path) -> tuple[Provider, ...]:
    """Return the providers of a `.terraform.lock.hcl`; none when there is no such file."""
    try:
        content = lock_file.read_text()
    except FileNotFoundError:
        return ()
    return tuple(Provider(source=m["source"], version=m["version"]) for m in _LOCKED.finditer(content))


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    home = _home(environment)
    data = environment.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    for pattern in ROOTS:
        path = Path(pattern.format(home=home, data=data))
        if "*" not in path.name:
            yield path
        elif path.parent.is_dir():
            yield from sorted(child for child in path.parent.glob(path.name) if child.is_dir())


def _write_configuration(path: Path, mirror: Path, providers: tuple[Provider, ...]) -> Path:
    """Write a CLI configuration. A bare `direct {}` would ask the registry for the mirrored providers too."""
    names = ", ".join(f'"{one.source}"' for one in providers)
    content = (
        "disable_checkpoint = true\n\n"
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f'    path    = "{mirror}"\n'
        f"    include = [{names}]\n"
        "  }\n"
        "  direct {\n"
        f"    exclude = [{names}]\n"
        "  }\n"
        "}\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(content)
    draft.replace(path)
    return path.resolve()


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())


def _system() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"
