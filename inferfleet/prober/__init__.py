"""The prober: runs beside HAProxy on a gateway host and says which engines give tokens.

Carried to the host as one zip (`pack`): Python >= 3.8, standard library alone. In reading order:

config     one JSON file: addresses, limits, the servers of the gateway
results    what a probe can find, and in which words
asking     one HTTP request on a connection of its own
ollama,
openai     one token out of an engine
counters   what HAProxy counts for each server
damping    how many results in a row change a state
watched    one server: its results, its traffic, its state
rounds     when each server is probed
outbox     restarts that a person or the controller may do
agent      what HAProxy is answered
pages      metrics for Prometheus, status as JSON
serve      the program as systemd sees it

Not carried: `pack`, which makes the zip, and `unit`, the unit's text.
"""
