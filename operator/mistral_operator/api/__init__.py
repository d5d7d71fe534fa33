"""The kinds that users and the operator write: the single source of the CRDs, their docs and their validation."""
