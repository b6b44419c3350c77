"""Use cases that two doors share."""
