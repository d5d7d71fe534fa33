"""Writes wire/jetstream_pb2.py and .pyi from wire/jetstream.proto, or checks that they are up to date.

Usage: python tools/generate_wire.py --write | --check
"""

import importlib.metadata
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

SOURCES = Path(__file__).parents[1] / "operator"
PROTO = "mistral_operator/wire/jetstream.proto"


def generate(target: Path) -> list[Path]:
    """Run protoc below `target`; the files that it wrote, relative to it."""
    command = ["protoc", f"-I{SOURCES}", f"--python_out={target}", f"--pyi_out={target}", str(SOURCES / PROTO)]
    if status := protoc.main(command):
        sys.exit(status)
    return sorted(path.relative_to(target) for path in target.rglob("*_pb2.py*"))


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments not in (["--write"], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        written = {name: (Path(directory) / name).read_text(encoding="utf-8") for name in generate(Path(directory))}
    stale = [name for name, text in written.items() if not _same(SOURCES / name, text)]
    if arguments == ["--check"] and stale:
        version = importlib.metadata.version("grpcio-tools")
        print(f"out of date: {', '.join(map(str, stale))}; run make crds (grpcio-tools {version})", file=sys.stderr)
        return 1
    for name in stale:
        (SOURCES / name).write_text(written[name], encoding="utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
