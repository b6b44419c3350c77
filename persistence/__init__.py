"""What is remembered (PostgreSQL) and what is merely quick (Redis)."""
