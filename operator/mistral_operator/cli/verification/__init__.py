"""`mistral-operator verify`: what a served model does on its hardware, measured, and written down as evidence."""
