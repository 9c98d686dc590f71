"""The lab's artefact mirror: what hosts without a way to the internet fetch, served from this machine."""
