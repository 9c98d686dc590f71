"""The lab's artefact mirror: what hosts without a way to the internet fetch, served from this machine.

offer      everything that is served: prepare (releases and models), images and packages; cli is the command
ollama     a release of Ollama = go (the program) + runtime (llama.cpp) -> pack
runtime    llama-server with a software GPU, of packages from forky
registry   models as files, for `ollama pull`
image      the same Ollama as a container image = blobs (a registry's files) + tools; docker_registry serves it
repositories   signed apt repositories: docker_ce, toolkit and drivers, made with apt_repository, signing and deb
server     gives the files to hosts; serve runs it in a lab      byterange
debian     packages of any suite, by apt; forky is one            machine: what must be installed here
store      directories that exist whole or not at all            command
"""
