"""`python -m mistral_operator.sandbox.control_plane.install`: get the binaries now, and print where they are."""

import sys

from .binaries import BinariesMissingError, find_binaries

if __name__ == "__main__":
    try:
        print(find_binaries(lambda text: print(text, file=sys.stderr, flush=True)).directory)
    except BinariesMissingError as error:
        sys.exit(str(error))
