"""Writes the token ids of the sentence that the stand-in of JetStream begins each answer with, or checks them.

The sandbox has no tokenizer. Usage: python tools/stand_in_tokens.py --write | --check
"""

import sys

import yaml
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from mistral_operator.sandbox.engine.jetstream_answer import SENTENCE_FILE

SENTENCE = "This is a stand-in for JetStream: no model is loaded. You asked:"
HEAD = "# Made by tools/stand_in_tokens.py with Mistral's tokenizers; don't edit.\n"


def render() -> str:
    """The file's text. v2, v3 and v7 have the same ids for texts."""
    tokenizers = {"v1": MistralTokenizer.v1(), "v3": MistralTokenizer.v3()}
    tokens = {
        name: tokenizer.instruct_tokenizer.tokenizer.encode(SENTENCE, bos=False, eos=False)
        for name, tokenizer in tokenizers.items()
    }
    return HEAD + yaml.safe_dump({"sentence": SENTENCE, "tokens": tokens}, default_flow_style=None, width=110)


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments == ["--write"]:
        SENTENCE_FILE.write_text(render(), encoding="utf-8")
        return 0
    if arguments != ["--check"]:
        print(__doc__, file=sys.stderr)
        return 2
    if SENTENCE_FILE.read_text(encoding="utf-8") != render():
        print(f"{SENTENCE_FILE} is out of date; run make crds", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
