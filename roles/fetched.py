"""What is fetched for the engines, before anything that runs is touched: a mistyped version stops nothing."""

from pyinfra.api import deploy

from inferfleet.operations import images, ollama
from inferfleet.plan import NodePlan
from inferfleet.services import ollama_host


@deploy("Fetched")
def fetched(node: NodePlan) -> None:
    """The account and its store are there, and the release and the images that the instances run from."""
    declared = ollama_host(node)
    ollama.account(name="Account and store", declared=declared)
    if declared.services:
        ollama.release(name=f"Release {declared.version}", declared=declared)
    if node.runs_containers:
        images.present(name="Images", declared=node)


@deploy("Fetched")
def unused_images(node: NodePlan) -> None:
    """Images that only we needed are gone; comes last, when all that is declared is there and answers."""
    images.pruned(name="Images no longer used", declared=node)
