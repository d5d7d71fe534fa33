"""`python -m mistral_operator.sandbox` runs a sandbox in the foreground."""

import sys

from .main import main

sys.exit(main())
