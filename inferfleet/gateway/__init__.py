"""From a gateway's plan to its files: two HAProxy configurations, maps, lists, errors, Lua. Pure.

secrets        references -> secrets, on this machine
certificates   a certificate that must match, or one of the project's own authority
answers        errors and lists, in OpenAI's and in Ollama's shape
maps           who may ask what, and where it goes
config         the two configurations
files          all of it: `gateway_files(plan, secrets) -> {path: File}`
"""

from inferfleet.gateway.files import File, Places, gateway_files
from inferfleet.gateway.secrets import Secrets, read_secrets, resolve

__all__ = ["File", "Places", "Secrets", "gateway_files", "read_secrets", "resolve"]
