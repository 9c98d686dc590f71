"""What runs on a lab host with declared cards: C sources, units, and programs that need the standard library only."""
