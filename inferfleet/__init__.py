"""inferfleet: bare Linux GPU hosts to a self-hosted LLM inference fleet.

The layers, in reading order; imports go one way only (`tests/test_layers.py` holds it):

    errors                 what ends in one clear line
    spec                   what an inventory says: pydantic, frozen            pure
    placed                 an Instance: one engine process, its cards and port  pure
    calibration            what models were seen to take: `calibration.json`    pure
    engines                what each engine is: environment, memory, probes     pure
    plan                   spec -> instances with places and ports              pure
    render                 template name and values -> text                     pure
    gateway                plan -> HAProxy's files; its secrets are read here   pure
    services, containers,
    firewall, gateways     plan -> what a host must be, rendered               pure
    checks                 plan -> what must hold on the hosts
    probe                  one question to a host about its cards              pure
    prober                 runs beside the gateway: which engines give tokens   pure
    facts, operations      asked of and done to hosts through pyinfra
    current                this host's slice of the plan, inside a deploy
    inventory              read an inventory file outside the `pyinfra` command
    lab                    real hosts on this machine, for the demo and the tests
    scaffold, plan_cli,
    cli                    `inferfleet init`, `plan`, `verify`, `lab`, `demo`
"""

__version__ = "0.1.0"
