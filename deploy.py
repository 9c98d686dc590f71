"""Which roles a host gets, in which order.

pyinfra inventory/prod.py deploy.py --dry --diff     what would change, and what it costs
pyinfra inventory/prod.py deploy.py                  make it so
"""

from inferfleet.current import my_ollama
from roles.base import base
from roles.models import models
from roles.ollama_native import no_ollama, ollama_native

declared = my_ollama()
if declared and declared.services:
    base(declared)
    ollama_native(declared)
    models(declared)
elif declared:
    no_ollama(declared)
