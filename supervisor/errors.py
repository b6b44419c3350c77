"""The reasons a start can fail that a person can do something about."""


class StartError(Exception):
    """The server cannot start or go on; the message says why and what to do next."""

    exit_code = 1


class WrongSettings(StartError):
    """The settings contradict each other or lack something that has no default."""

    exit_code = 2


class FolderInUse(StartError):
    """Another copy already works on this state folder."""

    exit_code = 3


class PortTaken(StartError):
    """Another program already listens where this server should."""

    exit_code = 4


class Stopped(Exception):
    """Somebody asked the server to stop while it was still starting."""
