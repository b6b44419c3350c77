"""The fleet page: what an operator sees at a glance, and the three things done from there."""

from pages.fleet.page import create_fleet

__all__ = ["create_fleet"]
