"""A GKE on a laptop for tests and users: a real control plane, and stand-ins for what runs below it.

This package imports none of the operator's other packages, so that it can't share their mistakes.
"""
