"""The usual cards: what memory they leave, what they can compute, and which engines still run on them. Pure."""
