"""What the server's work costs: CPU per operation, beside a control in the same run.

`python -m bench` measures. `bench.servers` and `bench.connections` are also what the long runs of
`tests/prove` stand on.
"""
