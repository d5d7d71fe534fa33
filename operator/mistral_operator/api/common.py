"""What every API type shares: the base class, validation rules, text formats, references, metadata and conditions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, Strict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema

LIST_MAP_BY_NAME: Final = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
LIST_MAP_BY_TYPE: Final = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
ATOMIC_LIST: Final = {"x-kubernetes-list-type": "atomic"}
LIST_SET: Final = {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that the API server holds as CEL and that `rules.violations` holds offline; a test compares the two."""

    cel: str
    message: str
    """What to write instead, in one sentence."""
    holds: Callable[[Any], bool]
    """The same rule for the parsed type; true when it is kept."""


class ApiType(BaseModel):
    """A part of the API: frozen, camelCase outside, snake_case inside.

    Unknown keys are ignored: the API server has refused or pruned them, and `rules.unknown_fields` names them offline.
    A null counts as an absent key, as it does on the API server. A type is built at its first use: most are only ever
    parsed as a part of another one.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", defer_build=True
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules to the schema in the form of the API server."""
        result = handler(schema)
        if cls.rules:
            body = handler.resolve_ref_schema(result)
            body["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in cls.rules]
        return result


def _quantity_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"
_MONEY_PATTERN: Final = r"^[0-9]{1,7}(\.[0-9]{1,6})?$"
_DURATION_PATTERN: Final = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_LATENCY_PATTERN: Final = r"^[0-9]{1,6}(ms|s)$"
_ZONE_PATTERN: Final = r"^[a-z]+-[a-z]+[0-9]+-[a-z]$"
_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_IDENTIFIER_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
_REPOSITORY_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
_IMAGE_PATTERN: Final = r"^[a-z0-9][A-Za-z0-9._:/@-]*$"
_LABEL_VALUE_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_RESOURCE_LABEL_PATTERN: Final = r"^[a-z0-9_-]*$"
PATTERN_EXAMPLES: Final = {
    _QUANTITY_PATTERN: "8 or 40Gi",
    _MONEY_PATTERN: '"12.50"',
    _DURATION_PATTERN: "10m",
    _LATENCY_PATTERN: "800ms",
    _ZONE_PATTERN: "us-central1-a",
    _LABEL_PATTERN: "my-name",
    _SUBDOMAIN_PATTERN: "my-name",
    _IDENTIFIER_PATTERN: "v1.0",
    _REPOSITORY_PATTERN: "mistralai/Mistral-7B-v0.3",
    _IMAGE_PATTERN: "registry.example/vllm:v0.33.0",
    _LABEL_VALUE_PATTERN: "search",
    _RESOURCE_LABEL_PATTERN: "search",
}
"""What to write for the patterns that many fields share; other fields have an example in their description."""

Count = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=_LABEL_PATTERN)]
DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN_PATTERN)]
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=_IDENTIFIER_PATTERN)]
Repository = Annotated[str, Field(min_length=3, max_length=200, pattern=_REPOSITORY_PATTERN)]
ImageReference = Annotated[str, Field(min_length=1, max_length=512, pattern=_IMAGE_PATTERN)]
Zone = Annotated[str, Field(min_length=1, max_length=40, pattern=_ZONE_PATTERN)]
Text = Annotated[str, Field(max_length=1024)]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_VALUE_PATTERN)]
ResourceLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=63, pattern=_RESOURCE_LABEL_PATTERN)]], Field(max_length=32)
]
"""Labels of Google Cloud resources."""
RESOURCE_LABEL_KEYS: Final = Rule(
    "!has(self.resourceLabels) || self.resourceLabels.all(key, key.matches('^[a-z][a-z0-9_-]{0,62}$')"
    " && !key.startsWith('mistral-operator-') && !key.startsWith('goog-'))",
    "keys of resourceLabels begin with a lowercase letter and hold at most 63 lowercase letters, digits, _ and -;"
    " mistral-operator- and goog- are reserved; write a key such as cost-center",
    lambda spec: all(
        re.fullmatch("[a-z][a-z0-9_-]{0,62}", key) and not key.startswith(("mistral-operator-", "goog-"))
        for key in spec.resource_labels
    ),
)
Money = Annotated[str, Field(max_length=16, pattern=_MONEY_PATTERN)]
"""US dollars as a decimal string, such as `2.50`."""
Duration = Annotated[str, Field(min_length=2, max_length=24, pattern=_DURATION_PATTERN)]
"""Hours, minutes and seconds, such as `10m` or `1h30m`; `duration_seconds` reads it."""
Latency = Annotated[str, Field(min_length=2, max_length=9, pattern=_LATENCY_PATTERN)]
Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    Field(max_length=32, pattern=_QUANTITY_PATTERN),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": _QUANTITY_PATTERN,
            "minimum": 0,
            "maxLength": 32,
        }
    ),
]
"""A Kubernetes quantity, such as `8` or `40Gi`; whole numbers may be written without quotes."""


_QUANTITY_UNITS: Final = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(1000),
    **{unit: Fraction(1000**power) for power, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)},
}


def duration_seconds(duration: str) -> int:
    """Read a Duration, such as `1h30m`, as seconds."""
    factors = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * factors[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration))


def latency_ms(latency: str) -> int:
    """Read a Latency, such as `800ms` or `2s`, as milliseconds."""
    return int(latency.removesuffix("ms")) if latency.endswith("ms") else int(latency.removesuffix("s")) * 1000


def quantity_amount(quantity: str) -> Fraction:
    """Read a Quantity, such as `500m` or `40Gi`, exactly."""
    number = quantity.rstrip("mkKMGTPEi")
    return Fraction(number) * _QUANTITY_UNITS[quantity[len(number) :]]


def dollars(money: str) -> Decimal:
    """Read a Money string exactly."""
    return Decimal(money)


@dataclass(frozen=True, slots=True)
class SchemaOf:
    """Gives a raw mapping the schema of a type: a status is read as it is, whoever wrote it."""

    type: type[ApiType]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Replace the mapping's own schema."""
        return handler(self.type.__pydantic_core_schema__)


class SecretKeyRef(ApiType):
    """One key of a Secret in the model's namespace. The operator never reads it; pods mount it."""

    name: DnsSubdomain = Field(description="Name of the Secret, in the model's namespace.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        "token", description="Key inside the Secret. `token` when left out."
    )


class Metadata(ApiType):
    """The part of an object's metadata that the operator reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class QueueStatus(ApiType):
    """A place among those that wait for the same thing."""

    position: Annotated[int, Field(ge=0)] = Field(description="1 for the first in line.")
    of: Annotated[int, Field(ge=0)] = Field(description="So many models wait.")
    waits_for: Annotated[str, Field(max_length=256)] = Field(
        alias="for", description="What they wait for, such as `reservation team-gpus`."
    )


class Condition(ApiType):
    """A finding about the object, in the form of metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="What the condition is about, such as `Ready`.")
    status: Annotated[str, Field(max_length=7, json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(
        description="`True`, `False` or `Unknown`."
    )
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ] = Field(description="The finding as one CamelCase word, stable for programs.")
    message: Annotated[str, Field(max_length=32768)] = Field(
        description="The finding for people: the cloud's own words where it has some, and what to do."
    )
    last_transition_time: Timestamp = Field(description="When `status` last changed.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The generation of the object that the finding is about."
    )
