"""The operator as a later version might be: dearer hardware, other overheads, another pod template."""

import dataclasses
from typing import Any

from mistral_operator.catalogue import load
from mistral_operator.cli.main import main
from mistral_operator.core import revisions

_load, _build = load.load_catalogue, revisions.build_pod_template


def _change_template(*args: Any, **kwargs: Any) -> dict[str, Any]:
    template = _build(*args, **kwargs)
    annotations = {**template["metadata"]["annotations"], "example.com/renderer": "changed"}
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}}


def _change_catalogue() -> Any:
    catalogue = _load()
    return dataclasses.replace(catalogue, engines={k: _newer(e) for k, e in catalogue.engines.items()})


def _newer(engine: Any) -> Any:
    return dataclasses.replace(engine, version="99.0.0")


if __name__ == "__main__":
    revisions.build_pod_template = _change_template
    load.load_catalogue = _change_catalogue
    main()
