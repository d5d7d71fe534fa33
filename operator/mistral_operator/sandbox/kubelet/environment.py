"""A container's environment and a pod's volumes, from the Secrets and ConfigMaps that they name."""

import base64
import re
from typing import Any, Literal

from mistral_operator.sandbox.kube import Kube

Object = dict[str, Any]
Values = dict[str, str]
SourceKind = Literal["Secret", "ConfigMap"]

COLLECTIONS: dict[SourceKind, str] = {"Secret": "secrets", "ConfigMap": "configmaps"}


class ConfigError(Exception):
    """Something that the pod refers to isn't there. The text is the kubelet's own."""


async def environment(kube: Kube, pod: Object, container: Object, pod_ip: str, host_ip: str) -> Values:
    """The container's variables, references followed and $(NAME) expanded. Raises ConfigError, KubeError."""
    sources = _Sources(kube, pod["metadata"]["namespace"])
    values: Values = {}
    for entry in container.get("envFrom") or []:
        kind: SourceKind = "Secret" if "secretRef" in entry else "ConfigMap"
        reference = entry.get("secretRef") or entry["configMapRef"]
        found = await sources.values(kind, reference["name"], optional=bool(reference.get("optional")))
        values |= {entry.get("prefix", "") + name: value for name, value in (found or {}).items()}
    for entry in container.get("env") or []:
        origin = entry.get("valueFrom")
        value = await _referenced(sources, pod, origin, pod_ip, host_ip) if origin else str(entry.get("value", ""))
        if value is not None:
            values[entry["name"]] = value if origin else expand(value, values)
    return values


def expand(text: str, values: Values) -> str:
    """Replace $(NAME) where NAME is known; $$(NAME) stands for $(NAME) itself."""

    def replace(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        return values.get(match[1], match[0])

    return re.sub(r"\$?\$\(([A-Za-z_][\w.-]*)\)", replace, text)


async def check_volumes(kube: Kube, pod: Object) -> None:
    """Raises ConfigError with the mount's message where a Secret, a ConfigMap or one of their keys is missing."""
    sources = _Sources(kube, pod["metadata"]["namespace"])
    for volume in pod["spec"].get("volumes") or []:
        projected = (volume.get("projected") or {}).get("sources") or []
        for part in (volume, *projected):
            try:
                await _check_source(sources, part)
            except ConfigError as error:
                raise ConfigError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error


async def _check_source(sources: "_Sources", part: Object) -> None:
    both: tuple[tuple[SourceKind, Object | None], ...]
    both = (("Secret", part.get("secret")), ("ConfigMap", part.get("configMap")))
    for kind, source in both:
        if source is None:
            continue
        name = source.get("secretName") or source.get("name", "")
        found = await sources.values(kind, name, optional=bool(source.get("optional")))
        if found is None:
            continue
        for item in source.get("items") or []:
            if item["key"] not in found and not source.get("optional"):
                raise ConfigError(
                    f"references non-existent {'secret' if kind == 'Secret' else 'config'} key: {item['key']}"
                )


async def _referenced(sources: "_Sources", pod: Object, origin: Object, pod_ip: str, host_ip: str) -> str | None:
    if field := origin.get("fieldRef"):
        return _field(pod, field["fieldPath"], pod_ip, host_ip)
    if "resourceFieldRef" in origin:
        return _resource(pod, origin["resourceFieldRef"])
    kind: SourceKind = "Secret" if "secretKeyRef" in origin else "ConfigMap"
    reference = origin.get("secretKeyRef") or origin["configMapKeyRef"]
    optional = bool(reference.get("optional"))
    found = await sources.values(kind, reference["name"], optional=optional)
    if found is not None and reference["key"] in found:
        return found[reference["key"]]
    if optional:
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {sources.namespace}/{reference['name']}")


def _field(pod: Object, path: str, pod_ip: str, host_ip: str) -> str:
    metadata, spec = pod["metadata"], pod["spec"]
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    return str(known.get(path, ""))


def _resource(pod: Object, reference: Object) -> str:
    """The quantity as the manifest writes it; divisors aren't applied."""
    kind, _, name = reference["resource"].partition(".")
    for container in pod["spec"]["containers"]:
        if container["name"] == reference.get("containerName", container["name"]):
            return str(((container.get("resources") or {}).get(kind) or {}).get(name, "0"))
    return "0"


class _Sources:
    """Secrets and ConfigMaps of one namespace, each read once."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self.namespace = namespace
        self._read: dict[tuple[SourceKind, str], Values | None] = {}

    async def values(self, kind: SourceKind, name: str, *, optional: bool) -> Values | None:
        """Its data as text; None if it isn't there and may be missing. Raises ConfigError."""
        key = (kind, name)
        if key not in self._read:
            found = await self._kube.get(f"/api/v1/namespaces/{self.namespace}/{COLLECTIONS[kind]}/{name}")
            self._read[key] = None if found is None else _decoded(kind, found)
        values = self._read[key]
        if values is None and not optional:
            raise ConfigError(f'{kind.lower()} "{name}" not found')
        return values


def _decoded(kind: SourceKind, found: Object) -> Values:
    data = found.get("data") or {}
    if kind == "ConfigMap":
        return {name: str(value) for name, value in data.items()}
    return {name: base64.b64decode(value).decode(errors="replace") for name, value in data.items()}
