"""Where providers come from: the user's word first, then a mirror that holds them all, then the registry."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.adapters.terraform_mirror import Provider, configure, find_mirror, has_own_configuration, locked_providers
from slipway.errors import ConfigurationError

SOURCE = "registry.example.com/acme/anvil"  # in no real mirror
LOCK = f"""
provider "{SOURCE}" {{
  version     = "1.2.3"
  constraints = "1.2.3"
  hashes = ["h1:x="]
}}
"""
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SYSTEM = f"{platform.system().lower()}_{MACHINE}"


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    path = tmp_path / ".terraform.lock.hcl"
    path.write_text(LOCK)
    return path


def unpacked(folder: Path, version: str = "1.2.3", system: str = SYSTEM) -> Path:
    (folder / SOURCE / version / system).mkdir(parents=True)
    return folder


def packed(folder: Path) -> Path:
    (folder / SOURCE).mkdir(parents=True)
    (folder / SOURCE / f"terraform-provider-anvil_1.2.3_{SYSTEM}.zip").touch()
    return folder


def test_a_lock_file_says_which_providers_are_needed(lock_file: Path, tmp_path: Path) -> None:
    assert locked_providers(lock_file) == (Provider(source=SOURCE, version="1.2.3"),)
    assert locked_providers(tmp_path / "missing") == ()


@pytest.mark.parametrize("make", [unpacked, packed])
@pytest.mark.parametrize("place", [".terraform.d/plugins", ".local/share/terraform/plugins", ".terraform.d/mirror"])
def test_a_mirror_in_a_usual_place_is_found_and_named(
    make: Callable[[Path], Path], place: str, lock_file: Path, tmp_path: Path
) -> None:
    home, build = tmp_path / "home", tmp_path / "build"
    mirror = make(home / place)
    environment = configure({"HOME": str(home)}, lock_file=lock_file, build=build)

    content = Path(environment["TF_CLI_CONFIG_FILE"]).read_text()
    assert Path(environment["TF_CLI_CONFIG_FILE"]) == build / "mirror.tfrc"
    assert f'path    = "{mirror}"' in content
    assert f'include = ["{SOURCE}"]' in content
    assert f'exclude = ["{SOURCE}"]' in content


def test_a_mirror_for_another_version_or_machine_is_passed_over(lock_file: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path / "home")}
    plugins = tmp_path / "home/.terraform.d/plugins"
    unpacked(plugins, version="1.2.4")
    unpacked(plugins, system="plan9_386")

    assert find_mirror(environment, locked_providers(lock_file)) is None


def test_the_folder_the_user_names_comes_first(lock_file: Path, tmp_path: Path) -> None:
    unpacked(tmp_path / "home/.terraform.d/plugins")
    named = unpacked(tmp_path / "named")
    environment = {"HOME": str(tmp_path / "home"), "TF_PLUGIN_MIRROR": str(named)}

    assert find_mirror(environment, locked_providers(lock_file)) == named


def test_a_named_folder_that_lacks_a_provider_is_an_error(lock_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"does not hold registry\.example\.com/acme/anvil 1\.2\.3"):
        find_mirror({"TF_PLUGIN_MIRROR": str(tmp_path)}, locked_providers(lock_file))


def test_the_users_own_configuration_is_left_alone(lock_file: Path, tmp_path: Path) -> None:
    unpacked(tmp_path / "home/.terraform.d/plugins")
    own = tmp_path / "own.tfrc"
    own.touch()
    environment = {"HOME": str(tmp_path / "home"), "TF_CLI_CONFIG_FILE": str(own)}

    assert configure(environment, lock_file=lock_file, build=tmp_path / "build") == environment


def test_the_users_default_configuration_counts_too(tmp_path: Path) -> None:
    assert not has_own_configuration({"HOME": str(tmp_path)})
    (tmp_path / ".terraformrc").touch()
    assert has_own_configuration({"HOME": str(tmp_path)})


def test_a_configuration_that_points_nowhere_is_dropped_for_the_registry_and_a_cache(
    lock_file: Path, tmp_path: Path
) -> None:
    surroundings = {"HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(tmp_path / "gone")}
    environment = configure(surroundings, lock_file=lock_file, build=tmp_path / "build")

    assert "TF_CLI_CONFIG_FILE" not in environment
    assert Path(environment["TF_PLUGIN_CACHE_DIR"]).is_dir()


def test_the_users_own_cache_is_kept(lock_file: Path, tmp_path: Path) -> None:
    surroundings = {"HOME": str(tmp_path), "TF_PLUGIN_CACHE_DIR": "/theirs"}

    assert configure(surroundings, lock_file=lock_file, build=tmp_path)["TF_PLUGIN_CACHE_DIR"] == "/theirs"
