"""The command `mistral-operator`, also as `kubectl mistral`."""
