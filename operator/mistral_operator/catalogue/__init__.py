"""What is known of models, accelerators and engines: data files with sources, and their typed loader."""
