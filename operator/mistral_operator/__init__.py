"""A Kubernetes operator that serves Mistral models on Google Kubernetes Engine."""

__version__ = "0.2.0.dev0"
