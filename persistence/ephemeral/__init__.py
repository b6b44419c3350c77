"""What is merely quick. Empty Redis at any moment: the service is slower, never wrong."""
