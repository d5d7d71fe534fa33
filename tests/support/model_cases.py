"""MistralModels that must be refused, with the words of the refusal: once for the API server, once for files."""

from typing import Any

from mistral_operator.api.names import API_VERSION, MODEL_KIND

Json = dict[str, Any]


def model(spec: Json | None = None, name: str = "chat") -> Json:
    """A MistralModel with `spec` on top of the smallest valid one."""
    return {
        "apiVersion": API_VERSION,
        "kind": MODEL_KIND,
        "metadata": {"name": name},
        "spec": {"model": "mistral-7b-v0.3", **(spec or {})},
    }


def option(**fields: Any) -> Json:
    return {"capacity": {"options": [fields]}}


def env(**fields: Any) -> Json:
    return {"engine": {"env": [fields]}}


def toleration(**fields: Any) -> Json:
    return {"pod": {"tolerations": [fields]}}


_DENSE = {
    "kind": "Dense",
    "layers": 32,
    "hiddenSize": 4096,
    "intermediateSize": 14336,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "headDimension": 128,
    "vocabularySize": 32768,
    "maxContextLength": 32768,
}


def custom(**fields: Any) -> Json:
    return {"model": None, "customModel": fields}


_SCHEDULE = {"name": "night", "start": "0 20 * * *", "duration": "8h"}

BROKEN_RULES: dict[str, tuple[Json, str]] = {
    "a name over 40 characters": (model(name="a" * 41), "at most 40 characters"),
    "a dotted name": (model(name="chat.v2"), "becomes the name of a Service: write lowercase letters"),
    "a name that begins with a digit": (model(name="7b-chat"), "with a letter first and no - at the end"),
    "neither model nor customModel": (model({"model": None}), "exactly one of spec.model"),
    "both model and customModel": (model({"customModel": {"base": "mistral-7b-v0.3"}}), "exactly one of spec.model"),
    "customModel without anything": (model(custom()), "exactly one of customModel.base"),
    "customModel with both": (model(custom(base="x", architecture=_DENSE)), "exactly one of customModel.base"),
    "experts in a dense model": (
        model(custom(architecture=_DENSE | {"experts": 8, "activeExperts": 2})),
        "write kind: Dense without them",
    ),
    "two sources of weights": (
        model({"weights": {"huggingFace": {}, "gcs": {"uri": "gs://models/mistral"}}}),
        "weights come from one place",
    ),
    "a cache in a bucket without uri": (
        model({"weights": {"cache": {"mode": "Bucket"}}}),
        "write mode: Bucket with uri",
    ),
    "a reserved variable": (model(env(name="HF_TOKEN", value="x")), "reserved for the operator"),
    "a variable without value": (model(env(name="A")), "exactly one of value and valueFrom"),
    "a variable with two values": (
        model(env(name="A", value="x", valueFrom={"secretKeyRef": {"name": "s", "key": "k"}})),
        "exactly one of value and valueFrom",
    ),
    "an adapter method without a draft model": (
        model({"engine": {"speculative": {"method": "Eagle"}}}),
        "write draftModel",
    ),
    "sharing of nothing": (
        model(option(sharing={"strategy": "TimeSharing", "clients": 2})),
        "write accelerator: l4, for instance",
    ),
    "sharing of several devices": (
        model(option(accelerator="l4", devices=2, sharing={"strategy": "TimeSharing", "clients": 2})),
        "a part of one GPU",
    ),
    "sharing of a slice": (
        model(option(accelerator="v6e", topology="2x4", sharing={"strategy": "TimeSharing", "clients": 2})),
        "a part of one GPU",
    ),
    "MIG without a partition": (
        model(option(accelerator="h100-80", sharing={"strategy": "MIG"})),
        "strategy: MIG needs the partition",
    ),
    "a partition that takes turns": (
        model(option(accelerator="h100-80", sharing={"strategy": "TimeSharing", "partition": "1g.10gb", "clients": 2})),
        "strategy: MIG needs the partition",
    ),
    "time-sharing without clients": (
        model(option(accelerator="l4", sharing={"strategy": "TimeSharing"})),
        "strategy: TimeSharing needs the number",
    ),
    "MIG with clients": (
        model(option(accelerator="h100-80", sharing={"strategy": "MIG", "partition": "1g.10gb", "clients": 2})),
        "strategy: TimeSharing needs the number",
    ),
    "a reservation on spot": (
        model(option(consumption="Spot", reservation="mine")),
        "only with consumption: Reservation",
    ),
    "a reservation without consumption": (model(option(reservation="mine")), "only with consumption: Reservation"),
    "Reservation without a name": (model(option(consumption="Reservation")), "write reservation: <name>"),
    "a topology of nothing": (model(option(topology="2x4")), "topology needs the accelerator"),
    "maxReplicas below minReplicas": (
        model({"scaling": {"minReplicas": 3, "maxReplicas": 2}}),
        "maxReplicas must not be below scaling.minReplicas",
    ),
    "minReplicas 0": (model({"scaling": {"minReplicas": 0, "maxReplicas": 2}}), "scaling.scaleToZero.idleAfter"),
    "an autoscaler without a bound": (model({"scaling": {"autoscaler": "HPA"}}), "write scaling.maxReplicas"),
    "a schedule upside down": (
        model({"scaling": {"schedules": [_SCHEDULE | {"minReplicas": 3, "maxReplicas": 2}]}}),
        "schedule's maxReplicas",
    ),
    "a gateway behind a plain Service": (
        model({"endpoint": {"gateway": {"name": "outside"}}}),
        "mode: Gateway or InferenceGateway",
    ),
    "our label on pods": (
        model({"pod": {"labels": {"serving.mistral-operator.dev/model": "x"}}}),
        "pod.labels: keys of serving.mistral-operator.dev belong to the operator",
    ),
    "our annotation on pods": (
        model({"pod": {"annotations": {"serving.mistral-operator.dev/applied-hash": "x"}}}),
        "pod.annotations: keys of serving.mistral-operator.dev belong to the operator",
    ),
    "our node label in the selector": (
        model({"pod": {"nodeSelector": {"serving.mistral-operator.dev/shape": "x"}}}),
        "pod.nodeSelector: keys of serving.mistral-operator.dev belong to the operator",
    ),
    "a malformed label's key": (model({"pod": {"labels": {"my team": "x"}}}), "pod.labels: a key is a name"),
    "a malformed annotation's key": (
        model({"pod": {"annotations": {"example..com/a": "x"}}}),
        "pod.annotations: a key is a name",
    ),
    "a node label with a domain that is too long": (
        model({"pod": {"nodeSelector": {f"{'a' * 254}/b": "x"}}}),
        "pod.nodeSelector: a key is a name",
    ),
    "an AppArmor profile": (
        model({"pod": {"annotations": {"container.apparmor.security.beta.kubernetes.io/vllm": "unconfined"}}}),
        "pod.annotations: AppArmor and seccomp profiles belong to the operator",
    ),
    "a seccomp profile": (
        model({"pod": {"annotations": {"container.seccomp.security.alpha.kubernetes.io/vllm": "unconfined"}}}),
        "pod.annotations: AppArmor and seccomp profiles belong to the operator",
    ),
    "a toleration of a value that exists": (
        model(toleration(key="a", operator="Exists", value="b")),
        "write operator: Equal",
    ),
    "a toleration of nothing": (model(toleration(effect="NoSchedule")), "needs operator: Exists"),
    "a toleration for a while of what evicts nobody": (
        model(toleration(key="a", operator="Exists", effect="NoSchedule", tolerationSeconds=60)),
        "only with effect: NoExecute",
    ),
    "a request above its limit": (
        model({"pod": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1000M"}}}}),
        "a request must not be above the limit",
    ),
    "a request in whole cores above its limit": (
        model({"pod": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1900m"}}}}),
        "a request must not be above the limit",
    ),
    "devices among the pod's resources": (
        model({"pod": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}),
        "write capacity.options[].devices",
    ),
    "nodes that are selected by a key of ours": (
        model({"capacity": {"nodes": {"selector": {"serving.mistral-operator.dev/shape": "x"}}}}),
        "capacity.nodes.selector: keys of serving.mistral-operator.dev belong to the operator",
    ),
    "nodes that are selected by what is no key": (
        model({"capacity": {"nodes": {"selector": {"a b": "x"}}}}),
        "capacity.nodes.selector: a key is a name",
    ),
    "a resource label in capitals": (
        model({"resourceLabels": {"Team": "search"}}),
        "keys of resourceLabels begin with",
    ),
    "a resource label of ours": (
        model({"resourceLabels": {"mistral-operator-claim": "x"}}),
        "keys of resourceLabels begin with",
    ),
}
"""Rules across fields: refused by CEL on the API server and by `rules.violations` offline."""

VALID: dict[str, Json] = {
    "a name with digits": model(name="chat-7b-2"),
    "a name of one letter": model(name="a"),
    "keys with and without a domain": model({
        "pod": {
            "labels": {"team": "x", "example.com/team_A.b": "x"},
            "annotations": {"prometheus.io/scrape": "true"},
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
        }
    }),
    "nodes that are there": model(
        {"capacity": {"provisioner": "Existing", "nodes": {"selector": {"cloud.google.com/gke-nodepool": "gpus"}}}}
    ),
    "a key as long as may be": model({"pod": {"labels": {f"{'a' * 253}/{'b' * 63}": "x"}}}),
    "a partition of a GPU": model(
        option(accelerator="h100-80", devices=1, sharing={"strategy": "MIG", "partition": "1g.10gb"})
    ),
    "turns on a GPU": model(option(machineType="g2-standard-8", sharing={"strategy": "TimeSharing", "clients": 2})),
    "every kind of toleration": model({
        "pod": {
            "tolerations": [
                {"operator": "Exists"},
                {"key": "a", "value": "b", "effect": "NoSchedule"},
                {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
            ]
        }
    }),
    "requests below and at their limits": model({
        "pod": {"resources": {"requests": {"cpu": 2, "memory": "1000M"}, "limits": {"cpu": "2000m", "memory": "1Gi"}}}
    }),
}  # fmt: skip
"""What the rules must let pass."""

BROKEN_FIELDS: dict[str, tuple[Json, str]] = {
    "an empty model": (model({"model": ""}), "spec.model"),
    "a model with a space": (model({"model": "mistral 7b"}), "spec.model"),
    "a context length as text": (model({"engine": {"contextLength": "32k"}}), "spec.engine.contextLength"),
    "a tiny context length": (model({"engine": {"contextLength": 8}}), "spec.engine.contextLength"),
    "an unknown precision": (model({"engine": {"precision": "fp8"}}), "spec.engine.precision"),
    "negative replicas": (model({"replicas": -1}), "spec.replicas"),
    "replicas as text": (model({"replicas": "2"}), "spec.replicas"),
    "a malformed quantity": (
        model({"pod": {"resources": {"requests": {"memory": "40 GB"}}}}),
        "spec.pod.resources.requests",
    ),
    "a negative quantity": (model({"pod": {"resources": {"requests": {"cpu": -1}}}}), "spec.pod.resources.requests"),
    "money as a number": (model({"capacity": {"maxHourlyCost": 12.5}}), "spec.capacity.maxHourlyCost"),
    "money with a currency": (model({"capacity": {"maxHourlyCost": "12 USD"}}), "spec.capacity.maxHourlyCost"),
    "a malformed duration": (model({"rollout": {"drainTimeout": "2 minutes"}}), "spec.rollout.drainTimeout"),
    "an unknown way to share": (
        model(option(accelerator="l4", sharing={"strategy": "MPS", "clients": 2})),
        "spec.capacity.options[0].sharing.strategy",
    ),
    "a partition of no size": (
        model(option(accelerator="h100-80", sharing={"strategy": "MIG", "partition": "10gb"})),
        "spec.capacity.options[0].sharing.partition",
    ),
    "a GPU for one client": (
        model(option(accelerator="l4", sharing={"strategy": "TimeSharing", "clients": 1})),
        "spec.capacity.options[0].sharing.clients",
    ),
    "a region as a zone": (model(option(zones=["us-central1"])), "spec.capacity.options[0].zones[0]"),
    "an unknown consumption": (model(option(consumption="spot")), "spec.capacity.options[0].consumption"),
    "too many zones": (model(option(zones=[f"us-central{n}-a" for n in range(9)])), "spec.capacity.options[0].zones"),
    "a variable's name with a dash": (model(env(name="A-B", value="")), "spec.engine.env[0].name"),
    "a toleration's key with a space": (model(toleration(key="a b", operator="Exists")), "spec.pod.tolerations[0].key"),
    "a license without acceptance": (model({"license": {}}), "spec.license.accept"),
    "a Secret's name in capitals": (
        model({"weights": {"huggingFace": {"tokenSecretRef": {"name": "Token"}}}}),
        "spec.weights.huggingFace.tokenSecretRef.name",
    ),
}
"""Types, patterns and bounds: refused by the schema and by the types; the words name the path."""

UNKNOWN_FIELDS: dict[str, tuple[Json, str]] = {
    "in the spec": (model({"modle": "x"}), "spec.modle"),
    "in the engine": (model({"engine": {"gpuCount": 2}}), "spec.engine.gpuCount"),
    "in an option": (model(option(gpu="l4")), "spec.capacity.options[0].gpu"),
    "in the scaling target": (model({"scaling": {"target": {"cpu": 50}}}), "spec.scaling.target.cpu"),
}
