"""What the server asks of others: one guarded client, and the trackers that it reaches with it."""
