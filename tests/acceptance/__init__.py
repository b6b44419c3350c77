"""The open-source worker, as far as its wire goes, and what a server must do so that it finishes.

The source of every rule here is the table of what that worker was seen to send and to need; its
lines are named in `table.py` by their numbers.
"""
