"""What is done by the clock: reconcilers, each idempotent, each safe to run in several places."""
