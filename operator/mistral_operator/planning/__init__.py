"""From a model's spec and the catalogue to a plan: fit, layout, estimate, choose, explain. Pure."""
