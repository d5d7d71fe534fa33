"""What goes wrong with a neighbour."""


class NeighbourError(Exception):
    """It can't be had, didn't start, or ended by itself; the message says why."""


class NeighbourMissingError(NeighbourError):
    """No such neighbour, or no source had it; the message says why for each."""
