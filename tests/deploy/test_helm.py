"""The chart: its objects are valid Kubernetes, and say what the guard understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from guard.policy import load_policy
from guard.settings import Settings
from tests.support.helm import TemplateError, manifests, merged, parse, render

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "qwq-guard"
CASES = {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}
CUSTOM = ("ServiceMonitor", "PrometheusRule")
KUBERNETES = ("1.27", "1.31", "1.36")


def values(case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CASES[case].read_text(encoding="utf-8"))
    return loaded


def rendered(case: str, **changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects, by kind and the end of their name."""
    objects = manifests(CHART, merged(values(case), changes))
    found = {
        (each["kind"], each["metadata"]["name"].removeprefix("test-qwq-guard").lstrip("-")): each for each in objects
    }
    assert len(found) == len(objects)
    return found


def container(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    (found,) = objects["Deployment", ""]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(objects)["env"]}


# --- valid


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid(case: str, version: str) -> None:
    for (kind, _), each in rendered(case).items():
        if kind not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_what_is_invalid_is_noticed() -> None:
    deployment = rendered("minimal")["Deployment", ""]
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def test_the_cases_show_every_kind() -> None:
    kinds = {kind for case in CASES for kind, _ in rendered(case)}
    assert kinds == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceMonitor",
    }
    assert {kind for kind, _ in rendered("minimal")} == {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}


@pytest.mark.parametrize("case", CASES)
def test_everything_is_ours_and_selects_our_pods(case: str) -> None:
    objects = rendered(case)
    pod = objects["Deployment", ""]["spec"]["template"]["metadata"]["labels"]
    for each in objects.values():
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "test"
        spec = each.get("spec", {})
        for selector in (spec.get("selector"), spec.get("podSelector")):
            labels = (selector or {}).get("matchLabels", selector) or {}
            if each["kind"] != "ServiceMonitor":
                assert labels.items() <= pod.items()


def test_a_chart_without_a_model_server_is_refused_with_the_way_out() -> None:
    with pytest.raises(TemplateError, match=r"config.upstream.url is needed"):
        render(CHART, {})


# --- what the guard reads


@pytest.mark.parametrize("case", CASES)
def test_the_guard_understands_its_settings(case: str, tmp_path: Path) -> None:
    objects = rendered(case)
    config = tmp_path / "guard.yaml"
    config.write_text(objects["ConfigMap", "config"]["data"]["guard.yaml"])
    env = environment(objects)
    settings = Settings.load(env={**env, "GUARD_CONFIG": str(config)})
    assert settings.upstream is not None
    assert settings.upstream.url == values(case)["config"]["upstream"]["url"]
    assert (settings.host, settings.port, settings.admin_host, settings.admin_port) == (
        "0.0.0.0",
        8080,
        "0.0.0.0",
        8081,
    )
    assert settings.watch
    ports = {each["name"]: each["containerPort"] for each in container(objects)["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}
    mounts = {each["mountPath"] for each in container(objects)["volumeMounts"]}
    assert env["GUARD_CONFIG"] in mounts
    assert "/tmp" in mounts
    spec = objects["Deployment", ""]["spec"]["template"]["spec"]
    before = int(container(objects)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= before + settings.drain + 10
    if settings.audit.folder is not None:
        assert str(settings.audit.folder) in mounts


def test_policies_of_ones_own_are_mounted_where_the_guard_looks(tmp_path: Path) -> None:
    objects = rendered("policies")
    wanted = Path(environment(objects)["GUARD_POLICY"])
    mounts = {each["mountPath"] for each in container(objects)["volumeMounts"]}
    assert str(wanted.parent) in mounts
    for name, text in objects["ConfigMap", "policies"]["data"].items():
        (tmp_path / name).write_text(text)
    policy = load_policy(tmp_path / wanted.name)
    assert policy.name == "house"
    assert "loops_in_thinking" in policy.rule_ids
    assert "{{ not a template }}" in objects["ConfigMap", "policies"]["data"]["house.yaml"]
    assert container(objects)["envFrom"] == [{"secretRef": {"name": "model-key"}}]
    assert environment(objects)["GUARD_WORKERS"] == "2"


def test_settings_restart_pods_and_policies_do_not() -> None:
    def checksum(**changes: Any) -> str:
        metadata = rendered("policies", **changes)["Deployment", ""]["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/config"])

    assert checksum() == checksum(policies={"base.yaml": "another"})
    assert checksum() != checksum(config={"keep_alive": 5})


# --- safety


@pytest.mark.parametrize("case", CASES)
def test_pods_may_do_nothing_but_serve(case: str) -> None:
    """The restricted pod security standard."""
    objects = rendered(case)
    pod = objects["Deployment", ""]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container(objects)["resources"]["limits"]


@pytest.mark.parametrize("case", CASES)
def test_clients_never_reach_the_admin_port(case: str) -> None:
    objects = rendered(case)
    assert [port["targetPort"] for port in objects["Service", ""]["spec"]["ports"]] == ["http"]
    assert objects["Service", "admin"]["spec"]["clusterIP"] == "None"
    probes = {
        name: container(objects)[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")
    }
    assert set(probes.values()) == {"admin"}


def test_the_network_is_closed_but_for_those_named() -> None:
    spec = rendered("everything")["NetworkPolicy", ""]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in spec["ingress"]}
    assert by_port["http"] == [{"podSelector": {"matchLabels": {"app": "web"}}}]
    assert list(by_port["admin"][0]) == ["namespaceSelector"]
    assert [rule["ports"][0]["port"] for rule in spec["egress"]] == [53, 8000]
    nobody = rendered("everything", networkPolicy={"monitoring": [], "egress": []})["NetworkPolicy", ""]["spec"]
    assert [rule["ports"][0]["port"] for rule in nobody["ingress"]] == ["http"]
    assert nobody["policyTypes"] == ["Ingress"]


# --- monitoring and scaling


def test_prometheus_gets_the_rules_of_the_repository() -> None:
    objects = rendered("everything")
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    assert objects["PrometheusRule", ""]["spec"] == rules
    monitor = objects["ServiceMonitor", ""]["spec"]
    admin = objects["Service", "admin"]
    assert monitor["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
    assert not monitor["selector"]["matchLabels"].items() <= objects["Service", ""]["metadata"]["labels"].items()
    assert [each["port"] for each in monitor["endpoints"]] == [each["name"] for each in admin["spec"]["ports"]]
    assert admin["metadata"]["labels"][monitor["jobLabel"]] == "qwq-guard"
    for kind in CUSTOM:
        assert objects[kind, ""]["metadata"]["labels"]["release"] == "prometheus"
    dashboard = objects["ConfigMap", "dashboard"]["data"]["qwq-guard.json"]
    assert json.loads(dashboard) == json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())


def test_it_scales_by_streams_and_processor_time() -> None:
    spec = rendered("everything")["HorizontalPodAutoscaler", ""]["spec"]
    assert [each["type"] for each in spec["metrics"]] == ["Resource", "Pods"]
    assert spec["metrics"][1]["pods"]["metric"]["name"] == "guard_streams_active"
    assert "replicas" not in rendered("everything")["Deployment", ""]["spec"]
    only = rendered("everything", autoscaling={"streams": 0})["HorizontalPodAutoscaler", ""]["spec"]["metrics"]
    assert [each["type"] for each in only] == ["Resource"]


# --- the renderer itself


def text(template: str, tmp_path: Path, **given: Any) -> str:
    (tmp_path / "templates").mkdir(exist_ok=True)
    (tmp_path / "templates" / "_lib.tpl").write_text('{{- define "hello" -}}\nHello {{ .name }}\n{{- end -}}')
    (tmp_path / "templates" / "t.yaml").write_text(template)
    (tmp_path / "Chart.yaml").write_text("{name: c, version: '1', appVersion: '2'}")
    (tmp_path / "values.yaml").write_text("{}")
    return render(tmp_path, given)["t.yaml"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a {{ .Values.x }} b", "a 1 b"),
        ("a\n  {{- .Values.x -}}  \nb", "a1b"),
        ("{{/* nothing */}}x", "x"),
        ("{{ if .Values.no }}a{{ else }}b{{ end }}{{ if not .Values.no }}c{{ end }}", "bc"),
        ("{{ with .Values.m }}{{ .k }}{{ $.Values.x }}{{ end }}", "v1"),
        ("{{ range $k, $v := .Values.m }}{{ $k }}={{ $v }};{{ end }}", "k=v;l=w;"),
        ("{{ $y := add .Values.x 2 3 }}{{ $y }}", "6"),
        ('{{ include "hello" (.Values.who) | quote }}', '"Hello you"'),
        ("a:\n  {{- toYaml .Values.m | nindent 2 }}", "a:\n  k: v\n  l: w"),
        ('{{ "ab-" | trunc 3 | trimSuffix "-" }}{{ printf "%s/%s" "a" .Values.x }}', "aba/1"),
        ('{{ .Values.absent.deeper | default "other" }}', "other"),
        ("{{ .Values.yes }}", "true"),
    ],
)
def test_templates_are_rendered_as_go_does(template: str, expected: str, tmp_path: Path) -> None:
    given = {"x": 1, "yes": True, "m": {"k": "v", "l": "w"}, "who": {"name": "you"}}
    assert text(template, tmp_path, **given) == expected


@pytest.mark.parametrize("template", ["{{ if .x }}", "{{ end }}", "{{ lookup .x }}", "{{ .Values }}", '{{ "a" "b" }}'])
def test_what_is_not_understood_is_an_error(template: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError):
        text(template, tmp_path)


def test_templates_use_nothing_but_what_is_rendered_here() -> None:
    for file in (CHART / "templates").iterdir():
        assert parse(file.read_text(encoding="utf-8"))
    notes = render(CHART, values("minimal"))["NOTES.txt"]
    assert "http://test-qwq-guard.apps:80/v1" in notes
    assert not re.search(r"\{\{|<no value>", notes)


@pytest.mark.parametrize("case", CASES)
def test_helm_renders_the_same(case: str) -> None:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed, so the chart is rendered by tests/support/helm.py only")
    command = [program, "template", "test", str(CHART), "--namespace", "apps", "--values", str(CASES[case])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    theirs = [each for each in yaml.safe_load_all(done.stdout) if each is not None]
    ours = manifests(CHART, values(case))

    def named(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        for each in objects:  # Go's YAML is quoted otherwise, so the checksum of it differs
            pod = each.get("spec", {}).get("template", {})
            if isinstance(pod, dict):
                pod.get("metadata", {}).get("annotations", {}).pop("checksum/config", None)
        return {(each["kind"], each["metadata"]["name"]): each for each in objects}

    assert named(theirs) == named(ours)
