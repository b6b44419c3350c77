"""A simulated fleet: worker processes that can be killed, and the webhooks that give them work.

`make demo` shows it at a terminal; the long proofs use the same processes.
"""
