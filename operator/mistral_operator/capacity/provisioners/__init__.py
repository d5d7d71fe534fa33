"""The ways to the cloud: one file per provisioner, and what they share."""
