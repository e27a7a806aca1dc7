"""Where a local stack keeps its files: one folder below KUBEFUGU_HOME for each stack."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT_NAME = "default"
"""Name of the stack where none is given."""

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_SOCKET_PATH_BYTES = 103
_LONGEST_SOCKET_NAME = "/conductor.sock"


@dataclass(frozen=True)
class StackLayout:
    """Paths of one stack. Nothing is created by building it."""

    name: str
    root: Path

    @classmethod
    def of(cls, home: Path, name: str = DEFAULT_NAME) -> StackLayout:
        """The stack `name` below the cache folder `home`."""
        return cls(name=name, root=home.absolute() / "run" / name)

    @property
    def plan_file(self) -> Path:
        """What the supervisor is to run."""
        return self.root / "plan.json"

    @property
    def state_file(self) -> Path:
        """What the supervisor runs; written by it alone."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "lock"

    @property
    def pool_file(self) -> Path:
        """The pool with processes replaced by their URLs."""
        return self.root / "pool.yaml"

    @property
    def policy_set_file(self) -> Path:
        """The router's declared policies."""
        return self.root / "policies.json"

    @property
    def policies_dir(self) -> Path:
        """Copies of artifacts that `kubefugu policy set` was given."""
        return self.root / "policies"

    @property
    def data_dir(self) -> Path:
        """State of the services that outlives a restart: decisions, the router's artifacts."""
        return self.root / "data"

    @property
    def logs_dir(self) -> Path:
        """One log file for each process."""
        return self.root / "logs"

    @property
    def sockets_dir(self) -> Path:
        """Folder of the gRPC sockets; beside the temporary files where the cache folder's path is too long for a socket."""
        wanted = self.root / "sockets"
        if len(os.fsencode(wanted)) + len(_LONGEST_SOCKET_NAME) <= _SOCKET_PATH_BYTES:
            return wanted
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"kubefugu-{os.getuid()}-{digest}"

    def log_file(self, component: str) -> Path:
        """Log of one process."""
        return self.logs_dir / f"{component}.log"

    def target(self, component: str) -> str:
        """gRPC address of a service of this stack."""
        return f"unix:{self.sockets_dir / component}.sock"

    def create(self) -> None:
        """Make the folders; sockets and state are for their owner alone."""
        for folder in (self.root, self.logs_dir, self.data_dir, self.policies_dir, self.sockets_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anyone could have made the folder below the temporary files first.
        owner = self.sockets_dir.stat().st_uid
        if owner != os.getuid():
            raise PermissionError(f"{self.sockets_dir} belongs to another user (uid {owner}).")
        self.sockets_dir.chmod(0o700)
