"""The usual cards: what memory they leave, what they can compute, and which engines still run on them. Pure."""

from inferfleet.catalogue.able import Refusal, engines, needs, unable
from inferfleet.catalogue.card import Card
from inferfleet.catalogue.look import cards, find, memory_mistake, names, near

__all__ = ["Card", "Refusal", "cards", "engines", "find", "memory_mistake", "names", "near", "needs", "unable"]
