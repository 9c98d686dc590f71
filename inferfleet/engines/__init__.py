"""What each engine is, without any host: environment, names, and what its API is called."""
