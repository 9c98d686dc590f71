"""What NVIDIA brings to a node: its driver, and the container toolkit."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from inferfleet.spec.base import Noun, mistake

# CVE-2025-23266 and -23267: a container takes over the host (NVIDIA bulletin; toolkit 1.17.8).
TOOLKIT_FLOOR = (1, 17, 8)


class Driver(Noun):
    """The NVIDIA driver of the nodes with NVIDIA cards; by default it is looked at and left alone."""

    manage: bool = Field(False, description="Whether the driver is installed and kept at `branch`.")
    branch: str | None = Field(None, description="Driver branch such as `580`; the newest of it is taken, and held.")
    modules: Literal["open", "proprietary"] | None = Field(
        None, description="Kernel modules, `open` or `proprietary`; by default what the cards need."
    )

    @field_validator("branch")
    @classmethod
    def _branch_form(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[4-9]\d\d", value):
            raise mistake("is not a driver branch", 'write its number in quotes, as in "580"')
        return value

    @model_validator(mode="after")
    def _managed_needs_branch(self) -> "Driver":
        if self.manage and self.branch is None:
            raise mistake("manages the driver without a branch", 'add branch, as in {"manage": True, "branch": "580"}')
        if not self.manage and (self.branch or self.modules):
            raise mistake("names a branch or modules and manages nothing", "add manage: True, or leave them out")
        return self


class Toolkit(Noun):
    """NVIDIA Container Toolkit, on nodes whose containers get NVIDIA cards."""

    version: str = Field("1.20.1", description="Version of its four packages, at least 1.17.8; they are held.")

    @field_validator("version")
    @classmethod
    def _above_floor(cls, value: str) -> str:
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", value)
        if not match:
            raise mistake("is not a version", "write a release such as 1.20.1")
        if tuple(map(int, match.groups())) < TOOLKIT_FLOOR:
            raise mistake(
                "lets containers take over the host (CVE-2025-23266)", "use 1.17.8 or newer, better 1.18.2 or newer"
            )
        return value
