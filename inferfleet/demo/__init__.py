"""`inferfleet demo`: two bare hosts on this machine become a fleet, before your eyes.

In reading order: `stage` says what is going on, `commands` runs the programs that a user would run,
`stream` is the program that asks the model on its host, `story` is the demo itself, `cli` its command.
"""
