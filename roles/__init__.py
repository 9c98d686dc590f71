"""The roles: each orders and names operations, and does nothing else."""
