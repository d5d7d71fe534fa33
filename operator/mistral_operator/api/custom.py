"""`spec.customModel`: a fine-tune or a merge that the catalogue does not have."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import ApiType, Count, Flag, Identifier, Rule


class ArchitectureKind(StrEnum):
    """How the model's layers are built."""

    DENSE = "Dense"
    MIXTURE_OF_EXPERTS = "MixtureOfExperts"


class Architecture(ApiType):
    """Dimensions of the model, as in its `config.json` or `params.json`; the memory arithmetic uses them."""

    rules = (
        Rule(
            "(self.kind == 'MixtureOfExperts') == (has(self.experts) && has(self.activeExperts))",
            "experts and activeExperts belong to kind: MixtureOfExperts, and it needs both;"
            " write both, or write kind: Dense without them",
            lambda item: (
                (item.kind is ArchitectureKind.MIXTURE_OF_EXPERTS)
                == (item.experts is not None and item.active_experts is not None)
            ),
        ),
    )

    kind: ArchitectureKind = Field(description="How the layers are built.")
    layers: Annotated[Count, Field(ge=1, le=512)] = Field(description="Number of layers (`num_hidden_layers`).")
    hidden_size: Annotated[Count, Field(ge=64, le=131_072)] = Field(description="Width of a layer (`hidden_size`).")
    intermediate_size: Annotated[Count, Field(ge=64, le=1_048_576)] = Field(
        description="Width inside the feed-forward block, of one expert where there are several (`intermediate_size`)."
    )
    attention_heads: Annotated[Count, Field(ge=1, le=1024)] = Field(
        description="Attention heads (`num_attention_heads`)."
    )
    key_value_heads: Annotated[Count, Field(ge=1, le=1024)] = Field(
        description="Heads of keys and values (`num_key_value_heads`)."
    )
    head_dimension: Annotated[Count, Field(ge=8, le=1024)] = Field(description="Width of a head (`head_dim`).")
    vocabulary_size: Annotated[Count, Field(ge=256, le=2_097_152)] = Field(
        description="Tokens in the vocabulary (`vocab_size`)."
    )
    max_context_length: Annotated[Count, Field(ge=256, le=10_485_760)] = Field(
        description="Tokens that the model was trained for (`max_position_embeddings`)."
    )
    sliding_window: Annotated[Count, Field(ge=1, le=10_485_760)] | None = Field(
        None, description="Tokens that a layer looks back (`sliding_window`). All when left out."
    )
    tied_embeddings: Flag = Field(
        False, description="Whether input and output share one embedding (`tie_word_embeddings`)."
    )
    experts: Annotated[Count, Field(ge=2, le=1024)] | None = Field(None, description="Experts per layer.")
    active_experts: Annotated[Count, Field(ge=1, le=128)] | None = Field(
        None, description="Experts that one token uses."
    )


class CustomModel(ApiType):
    """A model that the catalogue does not have; its files are named by `spec.weights`."""

    rules = (
        Rule(
            "has(self.base) != has(self.architecture)",
            "write exactly one of customModel.base (the catalogue id of the model that was tuned) and"
            " customModel.architecture",
            lambda item: (item.base is None) != (item.architecture is None),
        ),
    )

    base: Identifier | None = Field(
        None,
        description="Catalogue id of the model that was tuned, such as `mistral-7b-v0.3`; its dimensions are taken.",
    )
    architecture: Architecture | None = Field(
        None, description="The dimensions, for a model that is no fine-tune of a known one."
    )
