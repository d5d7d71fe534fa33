"""A simulated Compute Engine: the few REST calls by which people ask what a project may have, before they ask for it.

A stand-in made for tests and laptops. It answers from the simulated GKE's own quotas, reservations and zones, in the
JSON of the public API; nothing here has ever been compared with the real one. It shares no code with the operator.
"""
