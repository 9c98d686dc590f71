"""What Docker's `/info` says of settings that daemon.json holds too; a part of other scripts."""

from __future__ import annotations

from typing import Any

# Always insecure, and in no file.
_OWN = ("127.0.0.0/8", "::1/128")


def in_force(info: dict[str, Any]) -> dict[str, Any]:
    """Our keys as the running daemon has them (seen with 20.10, 26.1); log options and `ip` it does not tell."""
    registries = info.get("RegistryConfig") or {}
    indexes = registries.get("IndexConfigs") or {}
    insecure = [name for name, index in indexes.items() if not index.get("Secure", True)]
    pools = info.get("DefaultAddressPools") or []
    return {
        "live-restore": bool(info.get("LiveRestoreEnabled")),
        "log-driver": info.get("LoggingDriver"),
        "registry-mirrors": registries.get("Mirrors") or [],
        "insecure-registries": insecure + [x for x in registries.get("InsecureRegistryCIDRs") or [] if x not in _OWN],
        "default-address-pools": [{"base": pool.get("Base"), "size": pool.get("Size")} for pool in pools],
        "features.cdi": bool(info.get("CDISpecDirs")),
    }


def same_setting(key: str, wanted: Any, found: Any) -> bool:
    """Whether a setting in force is the wanted one; of lists of registries, whether the wanted ones are among them."""
    if key in ("registry-mirrors", "insecure-registries"):
        return {str(x).rstrip("/") for x in wanted or ()} <= {str(x).rstrip("/") for x in found or ()}
    return bool(wanted == found)
