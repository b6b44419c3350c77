"""Chores of this repository; each is run from its root."""
