"""`pytest tests/verify --inventory inventory/lab.py`: every check of that fleet as a test."""

from inferfleet.checks.fleet_test import test_fleet

__all__ = ["test_fleet"]
