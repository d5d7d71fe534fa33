"""`python -m mistral_operator.sandbox.neighbours.install helm lws`: get programs now, and print where they are."""

import sys

from .catalogue import NEIGHBOURS
from .errors import NeighbourMissingError
from .find import find_program

if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or NEIGHBOURS:
            print(find_program(wanted, lambda text: print(text, file=sys.stderr, flush=True)))
    except NeighbourMissingError as error:
        sys.exit(str(error))
