"""Files of deploy/ that tests cannot run: units, a composition of containers, manifests; each against what reads it."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config

from smallcaps_assets.settings.settings import instance_config
from smallcaps_assets_tests.repository import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
COMPOSE, KUBERNETES = DEPLOY / "compose", DEPLOY / "kubernetes"
OVERRIDES = sorted(DEPLOY.glob("*/dagster.yaml"))
HOME = "/opt/smallcaps_assets"
# the classes of the manifests, whose fields and types the client of Kubernetes knows
CLASSES = {
    "Namespace": "V1Namespace",
    "ServiceAccount": "V1ServiceAccount",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Deployment": "V1Deployment",
    # made by the generators of kustomization.yaml
    "ConfigMap": "V1ConfigMap",
}
_NOT_MANIFESTS = {"dagster.yaml", "instance.yaml", "kustomization.yaml"}


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def variables(node: object) -> Iterator[str]:
    """The environment variables that a document names."""
    if isinstance(node, Mapping):
        if isinstance(node.get("env"), str):
            yield node["env"]
        for value in node.values():
            yield from variables(value)


@pytest.mark.parametrize("file", OVERRIDES, ids=lambda file: file.parent.name)
def test_every_override_takes_its_secrets_from_the_environment(file: Path) -> None:
    document = read(file)
    assert {"PGHOST", "PGUSER", "PGPASSWORD"} <= set(variables(document))
    database = document["storage"]["postgres"]["postgres_db"]
    assert database["password"] == {"env": "PGPASSWORD"}
    assert "://" not in str(document)


@pytest.mark.parametrize("file", OVERRIDES, ids=lambda file: file.parent.name)
def test_every_override_keeps_what_protects_runs(file: Path) -> None:
    """Sections replace those of dagster.yaml as a whole: what they leave out would be lost."""
    base, document = read(REPOSITORY / "dagster.yaml"), read(file)
    monitoring = document.get("run_monitoring", base["run_monitoring"])
    assert monitoring.keys() == base["run_monitoring"].keys()
    assert monitoring["max_runtime_seconds"] == base["run_monitoring"]["max_runtime_seconds"]
    pools = document.get("concurrency", base["concurrency"])["pools"]
    assert pools == base["concurrency"]["pools"]
    assert "run_retries" not in document


def pod(manifest: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def manifests() -> list[dict[str, Any]]:
    files = sorted(file for file in KUBERNETES.glob("*.yaml") if file.name not in _NOT_MANIFESTS)
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def require_valid(manifest: dict[str, Any]) -> None:
    """Make sure that a manifest has the fields of its class, with their types, and those that are required."""
    kubernetes = pytest.importorskip("kubernetes.client.models")
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict  # noqa: PLC0415 -- takes seconds

    kind = getattr(kubernetes, CLASSES[manifest["kind"]])
    k8s_model_from_dict(kind, k8s_snake_case_dict(kind, manifest))


def test_manifests_have_the_fields_and_types_of_kubernetes() -> None:
    found = manifests()
    assert {manifest["kind"] for manifest in found} == CLASSES.keys() - {"ConfigMap"}
    for manifest in found:
        require_valid(manifest)
    (wrong,) = (manifest for manifest in manifests() if manifest["kind"] == "Deployment")
    pod(wrong)["container"] = pod(wrong).pop("containers")
    with pytest.raises(Exception, match="Unexpected keys in model class V1PodSpec"):
        require_valid(wrong)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the manifests")
def test_what_kubectl_renders_is_valid_and_complete(tmp_path: Path) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    # as README.md beside it says
    (folder / "config").mkdir()
    shutil.copy(REPOSITORY / "config" / "config.yaml", folder / "config")
    rendered = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout
    found = list(yaml.safe_load_all(rendered))
    for manifest in found:
        require_valid(manifest)
        assert manifest["metadata"].get("namespace", "smallcaps") == "smallcaps"
    assert {manifest["kind"] for manifest in found} == CLASSES.keys()
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in found if manifest["kind"] == "ConfigMap"}
    assert yaml.safe_load(maps["smallcaps-instance"]["dagster.yaml"]) == read(KUBERNETES / "instance.yaml")
    assert maps["smallcaps-config"].keys() == {"config.yaml"}
    (deployment,) = (manifest for manifest in found if manifest["kind"] == "Deployment")
    mounted = {volume["configMap"]["name"] for volume in pod(deployment)["volumes"] if "configMap" in volume}
    assert mounted <= maps.keys()


def test_the_section_of_the_kubernetes_launcher_is_what_it_reads() -> None:
    launcher = pytest.importorskip("dagster_k8s").K8sRunLauncher
    section = read(KUBERNETES / "dagster.yaml")["run_launcher"]["config"]
    validated = validate_config(launcher.config_type(), section)
    assert validated.success, validated.errors
    assert not validate_config(launcher.config_type(), section | {"job_imag": "misspelt"}).success


def test_what_manifests_name_is_there() -> None:
    kustomization = read(KUBERNETES / "kustomization.yaml")
    listed = set(kustomization["resources"]) | _NOT_MANIFESTS
    assert {file.name for file in KUBERNETES.glob("*.yaml")} == listed
    section = read(KUBERNETES / "dagster.yaml")["run_launcher"]["config"]
    made = {generator["name"] for generator in kustomization["configMapGenerator"]}
    assert {section["instance_config_map"], *section["env_config_maps"]} <= made
    (deployment,) = (manifest for manifest in manifests() if manifest["kind"] == "Deployment")
    accounts = {manifest["metadata"]["name"] for manifest in manifests() if manifest["kind"] == "ServiceAccount"}
    assert accounts == {section["service_account_name"], pod(deployment)["serviceAccountName"]}
    # a run sees lake and settings where the web UI does
    (container,) = pod(deployment)["containers"]
    of_the_ui = [mount for mount in container["volumeMounts"] if mount["name"] != "state"]
    assert section["volume_mounts"] == of_the_ui
    assert section["volumes"] == [volume for volume in pod(deployment)["volumes"] if volume["name"] != "state"]
    # one daemon per state
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_jobs_of_runs_have_the_dagster_yaml_of_the_web_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    override = KUBERNETES / "dagster.yaml"
    for name in variables(read(override)):
        monkeypatch.setenv(name, "any")
    made = instance_config(REPOSITORY / "dagster.yaml", Path(HOME, ".dagster"), override)
    assert yaml.safe_load(made) == read(KUBERNETES / "instance.yaml")
    environment = (KUBERNETES / "environment").read_text(encoding="utf-8")
    given = dict(line.split("=", 1) for line in environment.splitlines())
    assert set(variables(read(override))) == given.keys() & set(variables(read(override))) | {"PGPASSWORD"}


def test_containers_start_again_and_listen_on_this_server_only() -> None:
    document = read(COMPOSE / "compose.yaml")
    services = document["services"]
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    smallcaps = services["smallcaps"]
    assert smallcaps["init"]
    assert smallcaps["stop_grace_period"] == "90s"
    assert smallcaps["depends_on"] == {"postgresql": {"condition": "service_healthy"}}


def test_secrets_of_containers_are_files() -> None:
    document = read(COMPOSE / "compose.yaml")
    services, secrets = document["services"], document["secrets"]
    assert all(secret == {"file": f"./secrets/{name}"} for name, secret in secrets.items())
    assert set(services["smallcaps"]["secrets"]) == secrets.keys() == {"PGPASSWORD", "MASSIVE_API_KEY"}
    for service in services.values():
        given = service["environment"]
        assert not {name for name in given if re.search("KEY|PASSWORD(?!_FILE)", name)}
    # with the variables of the environment, all that the override needs
    needed = set(variables(read(DEPLOY / "postgresql" / "dagster.yaml")))
    assert needed <= services["smallcaps"]["environment"].keys() | secrets.keys()
    # what compose.yaml names is in none of the lists
    for kind in ("volumes", "networks", "secrets"):
        used = {str(name) for service in services.values() for name in _names(service.get(kind, []))}
        assert used == document[kind].keys()
    assert "secrets/" in (COMPOSE / ".gitignore").read_text(encoding="utf-8").splitlines()


def _names(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry.partition(":")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="runs in containers of Linux")
def test_files_of_secrets_become_variables(tmp_path: Path) -> None:
    (tmp_path / "PGPASSWORD").write_text('a "long" $word\n', encoding="utf-8")
    (tmp_path / "folder").mkdir()
    shows = [sys.executable, "-c", "import os; print(os.environ['PGPASSWORD'])"]
    made = subprocess.run(
        [COMPOSE / "enter", *shows],
        env=os.environ | {"SECRETS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == 'a "long" $word\n'


def test_the_image_has_what_the_commands_need() -> None:
    lines = (COMPOSE / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    allowed = (COMPOSE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for path in copied - {"--chmod=755"}:
        assert (REPOSITORY / path).exists()
        assert f"!{path.split('/')[0]}" in allowed
    assert "USER smallcaps" in lines
    assert f"ENV SMALLCAPS_HOME={HOME} MPLCONFIGDIR=/tmp/matplotlib" in lines


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("systemd/**/*.service")), ids=lambda file: file.name)
def test_units_start_a_command_that_exists(file: Path) -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(file, encoding="utf-8")
    from smallcaps_assets.cli import build_parser  # noqa: PLC0415

    program, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/smallcaps")
    build_parser().parse_args(words)
    assert int(unit["Service"]["TimeoutStopSec"]) == 90
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
