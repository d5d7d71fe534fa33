"""The catalogue as a later version might have it: other images, flags, overheads and prices."""

from dataclasses import replace
from decimal import Decimal

from mistral_operator.catalogue.accelerator import Accelerator, MachineShape
from mistral_operator.catalogue.engine import Engine
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue

FLAG = "--enable-prefix-caching"
DEARER = 2


def change_catalogue(catalogue: Catalogue) -> Catalogue:
    """Change every engine, every model's flags and every price."""
    return replace(
        catalogue,
        engines={name: _change_engine(engine) for name, engine in catalogue.engines.items()},
        models={name: _change_model(model) for name, model in catalogue.models.items()},
        accelerators={name: _change_accelerator(item) for name, item in catalogue.accelerators.items()},
    )


def _change_engine(engine: Engine) -> Engine:
    image = f"example.com/{engine.id}:v99" if engine.image else ""
    memory = replace(engine.memory, context_gib=engine.memory.context_gib + Decimal("0.5"))
    batching = tuple(replace(batch, tokens=batch.tokens // 2) for batch in engine.batching)
    return replace(engine, version="99.0.0", image=image, image_digest=None, memory=memory, batching=batching)


def _change_model(model: Model) -> Model:
    engines = {name: replace(how, flags=(*how.flags, FLAG)) for name, how in model.engines.items()}
    return replace(model, engines=engines)


def _change_accelerator(accelerator: Accelerator) -> Accelerator:
    return replace(accelerator, machines=tuple(map(_change_machine, accelerator.machines)))


def _change_machine(shape: MachineShape) -> MachineShape:
    return replace(shape, prices={how: price * DEARER for how, price in shape.prices.items()})
