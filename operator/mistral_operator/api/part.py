"""One part of a model whose replicas are spread over several rungs. No object of the API: a view of one."""

from decimal import Decimal

from mistral_operator.api.model import MistralModel


class ModelPart(MistralModel):
    """A model with the options from one on, and those of its replicas that are to stand there.

    `metadata` is the whole model's. Stages that know nothing of parts take it for a model.
    """

    part: int
    """From 1 on, in the order of `spec.capacity.options`."""
    leaving: bool = False
    """It is wanted no more: what it has is kept until the others answer, and nothing is planned for it."""
    others_cost: Decimal = Decimal(0)
    """US dollars an hour that the other parts take of the model's spend limit."""
    surge_taken: Decimal = Decimal(0)
    """US dollars an hour that may be spent on top for other parts, which come first."""
