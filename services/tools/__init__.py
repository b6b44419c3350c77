"""What the agent of a session can do here: tools, and the line of those who provide them."""
