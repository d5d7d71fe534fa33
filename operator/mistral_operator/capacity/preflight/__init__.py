"""What stands in the way before anything is bought. Pure."""
