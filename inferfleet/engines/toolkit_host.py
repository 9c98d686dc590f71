"""What one host's NVIDIA Container Toolkit must be. Plain data, made from the plan or by hand."""

from dataclasses import dataclass, field

from inferfleet.placed import PlacedGpu

# Upstream's own rule since 1.18: all four at one version (cloud-native-docs, install-guide.md).
PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
# Since 1.18 (release notes): they write the CDI specification at boot and when driver or toolkit change.
REFRESH_SINCE = (1, 18, 0)
REFRESH_UNITS = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")
SOURCE_FILE = "/etc/apt/sources.list.d/inferfleet-nvidia-toolkit.sources"
KEYRING = "/etc/apt/keyrings/inferfleet-nvidia-toolkit.gpg"
_TEXT = """# Managed by inferfleet
Types: deb
URIs: {source}/stable/deb/$(ARCH)
Suites: /
Signed-By: {keyring}
"""


@dataclass(frozen=True)
class ToolkitHost:
    """Everything declared of one host's toolkit.

    Attributes:
        version: upstream's, such as `1.20.1`; all four packages have it and are held.
        source: base URL of NVIDIA's repository or of a mirror of it.
        fingerprint: of the key that signs it, 40 hexadecimal digits.
        gpus: the cards that containers are given; those that are no NVIDIA cards are passed over.
        proxy: environment for what the host fetches itself.
    """

    version: str
    source: str
    fingerprint: str
    gpus: tuple[PlacedGpu, ...]
    proxy: dict[str, str] = field(default_factory=dict)

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the cards in the CDI specification: a UUID where one is declared, else the index."""
        return tuple(gpu.uuid or str(gpu.index) for gpu in self.gpus if gpu.backend == "cuda")

    @property
    def refreshes(self) -> bool:
        """Whether this version brings the units that keep the CDI specification fresh."""
        return tuple(map(int, self.version.split(".")[:3])) >= REFRESH_SINCE

    @property
    def units(self) -> tuple[str, ...]:
        """The units that must be enabled."""
        return REFRESH_UNITS if self.refreshes else ()

    @property
    def apt_source(self) -> dict[str, object]:
        """The repository, as `remote/apt_source.py` takes it."""
        return {
            "key_url": f"{self.source}/gpgkey",
            "fingerprints": [self.fingerprint],
            "keyring": KEYRING,
            "path": SOURCE_FILE,
            "text": _TEXT.format(source=self.source, keyring=KEYRING),
        }

    @property
    def question(self) -> dict[str, object]:
        """What to ask the host (`remote/toolkit_state.py`)."""
        return {"source": self.apt_source, "packages": list(PACKAGES), "units": list(REFRESH_UNITS)}
