"""The version of the server; `pyproject.toml`, the contract and the changelog agree with it."""

VERSION = "0.1.0"
