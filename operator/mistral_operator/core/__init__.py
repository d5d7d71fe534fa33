"""The pure middle in one place: `sync` turns a model and what was observed into what should be."""
