"""The lab's artefact mirror: what hosts without a way to the internet fetch, served from this machine.

prepare    everything that is served, built and laid out        cli    the command that does it
ollama     a release of Ollama = go (the program) + runtime (llama.cpp) -> pack
runtime    llama-server with a software GPU, of packages from forky
registry   models as files, for `ollama pull`
image      the same Ollama as a container image = blobs (files of a registry) + tools (busybox)
docker_registry    serves images to the hosts of a lab
server     gives the files to hosts; serve runs it in a lab      byterange
store      directories that exist whole or not at all            command
"""
