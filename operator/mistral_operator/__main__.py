"""`python -m mistral_operator` is the command `mistral-operator`."""

from mistral_operator.cli.main import main

main(prog_name="mistral-operator")
