"""Which roles a host gets, in which order.

pyinfra inventory/prod.py deploy.py --dry --diff     what would change, and what it costs
pyinfra inventory/prod.py deploy.py                  make it so
"""

from inferfleet.current import my_ollama
from roles.base import base
from roles.models import models
from roles.ollama_native import ollama_native

declared = my_ollama()
if declared:
    base(declared)
    ollama_native(declared)
    if declared.services:
        models(declared)
