"""MistralServingClasses that must be refused, with the words of it: once for the API server, once for files."""

from typing import Any

from mistral_operator.api.names import API_VERSION, CLASS_KIND

Json = dict[str, Any]


def serving_class(name: str = "standard", **spec: Any) -> Json:
    """A MistralServingClass that nobody has marked as the default."""
    return {"apiVersion": API_VERSION, "kind": CLASS_KIND, "metadata": {"name": name}, "spec": spec}


def limits(**fields: Any) -> Json:
    return serving_class(limits=fields)


def defaults(**fields: Any) -> Json:
    return serving_class(defaults=fields)


BROKEN_RULES: dict[str, tuple[Json, str]] = {
    "Auto among the provisioners": (limits(provisioners=["Auto"]), "names what Auto may come to; write ContainerAPI"),
    "a resource label in capitals": (defaults(resourceLabels={"Team": "x"}), "keys of resourceLabels begin with"),
}
"""Rules across fields: refused by CEL on the API server and by `rules.violations` offline."""

BROKEN_FIELDS: dict[str, tuple[Json, str]] = {
    "a list that allows nothing": (limits(accelerators=[]), "spec.limits.accelerators"),
    "a region as a zone": (limits(zones=["us-central1"]), "spec.limits.zones[0]"),
    "an unknown way to buy": (limits(consumption=["spot"]), "spec.limits.consumption[0]"),
    "money as a number": (limits(maxHourlyCost=12.5), "spec.limits.maxHourlyCost"),
    "the budget as a number": (limits(maxTotalHourlyCost=120), "spec.limits.maxTotalHourlyCost"),
    "a path as a forbidden field": (limits(forbiddenFields=["spec.pod"]), "spec.limits.forbiddenFields[0]"),
    "a namespace in capitals": (serving_class(allowedNamespaces=["Team-*"]), "spec.allowedNamespaces[0]"),
    "too many namespaces": (
        serving_class(allowedNamespaces=[f"team-{number}" for number in range(65)]),
        "spec.allowedNamespaces",
    ),
    "a disk image that is a family, and may be another one tomorrow": (
        defaults(imageCaches=[{"engine": "vllm-gpu", "diskImage": "projects/ours/global/images/family/vllm"}]),
        "spec.defaults.imageCaches[0].diskImage",
    ),
    "a disk image of no project": (
        defaults(imageCaches=[{"engine": "vllm-gpu", "diskImage": "global/images/vllm"}]),
        "spec.defaults.imageCaches[0].diskImage",
    ),
    "an image cache of no engine": (
        defaults(imageCaches=[{"engine": "vllm", "diskImage": "projects/ours/global/images/vllm"}]),
        "spec.defaults.imageCaches[0].engine",
    ),
    "an image of no engine": (defaults(images=[{"engine": "vllm", "image": "a:1"}]), "spec.defaults.images[0].engine"),
    "a cache outside of a bucket": (defaults(weightsCache={"uri": "s3://models"}), "spec.defaults.weightsCache.uri"),
    "a bucket with a slash at its end": (
        defaults(weightsCache={"uri": "gs://models/"}),
        "spec.defaults.weightsCache.uri",
    ),
}
"""Types, patterns and bounds: refused by the schema and by the types; the words name the path."""

UNKNOWN_FIELDS: dict[str, tuple[Json, str]] = {
    "in the spec": (serving_class(accelerators=["l4"]), "spec.accelerators"),
    "in the limits": (limits(gpus=["l4"]), "spec.limits.gpus"),
}

VALID: dict[str, Json] = {
    "nothing": serving_class(),
    "everything": serving_class(
        allowedNamespaces=["search", "team-*"],
        limits={
            "accelerators": ["l4", "nvidia-h100-80gb"],
            "consumption": ["OnDemand", "Spot", "FlexStart", "Reservation"],
            "zones": ["us-central1-a"],
            "provisioners": ["ContainerAPI", "ComputeClass", "ConfigConnector", "Existing"],
            "maxHourlyCost": "12.50",
            "maxTotalHourlyCost": "120.00",
            "forbiddenFields": ["EngineImage", "EngineExtraArgs", "EngineEnv", "Pod", "ServiceAccountName"],
        },
        defaults={
            "images": [{"engine": "vllm-gpu", "image": "mirror.example/vllm:1"}],
            "imageCaches": [
                {"engine": "vllm-gpu", "diskImage": "projects/images-of-ours/global/images/vllm-gpu-1"},
                {"engine": "vllm-tpu", "diskImage": "projects/example.com:ours/global/images/vllm-tpu"},
            ],
            "weightsCache": {"uri": "gs://models/cache"},
            "resourceLabels": {"cost-center": "ai"},
        },
    ),
}
"""What the rules must let pass."""
