"""XID: the NVIDIA driver's errors in the kernel log.

Source: NVIDIA, "Analyzing Xid Errors with the Xid Catalog" (docs.nvidia.com/deploy/xid-errors, read in 2026).
"""

from typing import Any

# Those whose immediate action is a reset of the card or a reboot (RESET_GPU, RESTART_BM), or whose text says that only
# that clears them (48, 74). Not among them: 63 and 92 (action IGNORE; what they announce is asked of the card itself)
# and 94 (contained: the one process that met it is gone, all others are unaffected).
FATAL = {
    46: "the card stopped processing",
    48: "a memory error that ECC could not correct",
    62: "its micro-controller halted",
    64: "memory could not be replaced",
    74: "an NVLink failed",
    79: "the card has fallen off the bus",
    95: "a memory error that was not contained",
    109: "a context switch timed out",
    110: "a security fault",
    119: "its GSP firmware does not answer",
    120: "its GSP firmware failed",
}
_OTHER = {
    13: "a program's graphics engine exception",
    31: "a program touched memory that is not its own",
    43: "a program was stopped",
    45: "a program was ended",
    63: "memory is to be replaced at the next reset",
    92: "many memory errors that ECC corrected",
    94: "a memory error that ended one program",
}


def meaning(entry: dict[str, Any]) -> str:
    """What an entry of the log says, in words; the driver's own where the number is not known here."""
    return FATAL.get(entry["xid"]) or _OTHER.get(entry["xid"]) or entry["text"] or "see NVIDIA's XID catalogue"
