"""Values, rules and refusals: no I/O, no framework."""
