"""Accelerators on GKE: claims, the ladder, and one file per provisioner."""
