"""What is done to hosts: each operation asks once, compares, and acts once, however many instances or models."""
