"""What runs on a lab host with declared cards: C sources, and programs of the standard library that are copied there."""
