"""What goes over the wire between the gateway and an engine: neutral ground, which imports nothing of ours."""
