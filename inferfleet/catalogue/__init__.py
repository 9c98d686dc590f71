"""The usual cards: what memory they leave, what they can compute, and which engines still run on them. Pure."""

from inferfleet.catalogue.card import Card
from inferfleet.catalogue.look import find, memory_mistake, names, near

__all__ = ["Card", "find", "memory_mistake", "names", "near"]
