"""A ConfigMap as the kubelet mounts it: files in a folder of their own, a link to it that is swapped, links to them."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "catalogue" / "configmap.yaml"
EXAMPLE_FILES: dict[str, str] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["data"]
OWN_MODEL = "acme-support-7b"
"""What the example adds, on a machine whose price it also gives."""
OWN_PRICE = "0.61"
BROKEN = {"model.broken.yaml": "id: broken"}


def mount(directory: Path, files: Mapping[str, str]) -> None:
    """Make the directory's content that of the ConfigMap, whatever it was before."""
    old = swap(directory, files)
    for link in [path for path in directory.iterdir() if not path.name.startswith("..")]:
        if link.name not in files:
            link.unlink()
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    if old:
        shutil.rmtree(old)


def swap(directory: Path, files: Mapping[str, str]) -> Path | None:
    """The first step: the files are there, and the links of others still are. Answers the folder that is out of use."""
    directory.mkdir(exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8")
    current, link = directory / "..data", directory / "..data_tmp"
    old = current.resolve() if current.is_symlink() else None
    link.symlink_to(fresh.name)
    link.replace(current)
    return old
