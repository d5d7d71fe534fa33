"""The operator as a later version might be: dearer hardware, other images and flags, another pod template."""

from typing import Any

from tests.support.changed_catalogue import change_catalogue

from mistral_operator.catalogue import load
from mistral_operator.cli.main import main
from mistral_operator.core import revisions

_load, _build = load.load_catalogue, revisions.build_pod_template


def _change_template(*args: Any, **kwargs: Any) -> dict[str, Any]:
    template = _build(*args, **kwargs)
    annotations = {**template["metadata"]["annotations"], "example.com/renderer": "changed"}
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}}


if __name__ == "__main__":
    revisions.build_pod_template = _change_template
    # Before anything has imported it: subcommands are imported when they are called.
    load.load_catalogue = lambda: change_catalogue(_load())
    main()
