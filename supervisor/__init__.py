"""Starts and keeps everything one server needs: the stores, the web, the jobs.

`python -m supervisor` is the whole server. `supervisor.stores.Stores` is the two
embedded stores alone, for tests and measurements.
"""
