"""Which roles a host gets, in which order.

pyinfra inventory/prod.py deploy.py --dry --diff     what would change, and what it costs
pyinfra inventory/prod.py deploy.py                  make it so
"""

from inferfleet.current import my_fleet, my_gateway, my_node
from roles.base import base
from roles.docker import docker
from roles.engine_docker import engine_docker
from roles.engine_native import engine_native, no_engine
from roles.fetched import fetched, unused_images
from roles.firewall import firewall
from roles.gateway import gateway, no_gateway
from roles.models import models
from roles.nvidia_driver import nvidia_driver
from roles.nvidia_toolkit import nvidia_toolkit

node = my_node()
if node and node.instances:
    if node.has_nvidia:
        nvidia_driver(node)
    base(node)
    if node.runs_containers:
        docker(node)
        nvidia_toolkit(node)
    else:
        firewall(node)
    fetched(node)
    engine_native(node)
    if node.runs_containers:
        engine_docker(node)
    models(node)
    if node.runs_containers:
        unused_images(node)
elif node:
    no_engine(node)

front = my_gateway()
if front:
    gateway(front, my_fleet().nodes)
else:
    no_gateway(node)
