"""The mirror as a service of a lab: it lives and dies with it."""

import sys
from pathlib import Path

from inferfleet.lab.lab import Lab


def serve_mirror(lab: Lab, root: Path, port: int = 80, slow: int | None = None) -> str:
    """Hosts of the lab can fetch what lies under `root` from the lab's gateway.

    Args:
        lab: a lab that is up.
        root: a directory made by `prepare_mirror`, or shaped like it.
        port: TCP port at the gateway.
        slow: bytes per second that it gives at most.

    Returns:
        The address, such as `http://10.77.1.1`.
    """
    server = [sys.executable, "-m", "inferfleet.lab.mirror.server", "--bind", lab.gateway]
    held = ["--slow", str(slow)] if slow else []
    lab.serve([*server, *held, "--port", str(port), "--root", root], f"mirror-{port}", port=port)
    return f"http://{lab.gateway}" if port == 80 else f"http://{lab.gateway}:{port}"
