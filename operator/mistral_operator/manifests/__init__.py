"""From a pinned plan to Kubernetes objects, one file per concern. Pure."""
