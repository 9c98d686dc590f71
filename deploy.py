"""Which roles a host gets, in which order.

pyinfra inventory/prod.py deploy.py --dry --diff     what would change, and what it costs
pyinfra inventory/prod.py deploy.py                  make it so
"""

from inferfleet.current import my_nvidia, my_ollama
from roles.base import base
from roles.models import models
from roles.nvidia_driver import nvidia_driver
from roles.ollama_native import no_ollama, ollama_native

declared, cards = my_ollama(), my_nvidia()
if declared and declared.services:
    if cards:
        nvidia_driver(cards)
    base(declared)
    ollama_native(declared)
    models(declared)
elif declared:
    no_ollama(declared)
