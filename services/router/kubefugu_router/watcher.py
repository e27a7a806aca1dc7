"""The policy set file, watched: in the cluster a mounted ConfigMap, on one machine a file that the command line writes."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

import structlog

from kubefugu_core.errors import InvalidRequestError, KubefuguError, StaleGenerationError, UnavailableError
from kubefugu_router import documents
from kubefugu_router.domain.policy_set import DeclaredSet
from kubefugu_router.readiness import UNREADABLE, Readiness
from kubefugu_router.registry import PolicyRegistry

_log = structlog.get_logger()


@dataclass(eq=False)
class PolicySetFile:
    """Applies the file's declaration when its content changes, and again while a source could not be read."""

    path: Path
    registry: PolicyRegistry
    readiness: Readiness
    _seen: str = ""

    def read(self) -> DeclaredSet | None:
        """The declaration; None where the file is absent. Raises InvalidRequestError."""
        return documents.read_file(self.path)

    async def look(self) -> None:
        """Apply the file's content if it is new."""
        fingerprint = await asyncio.to_thread(_fingerprint, self.path)
        if fingerprint == self._seen:
            return
        try:
            declared = await asyncio.to_thread(self.read)
            if declared is not None:
                self.readiness.require(declared.generation)
                await self.registry.apply(declared)
        except StaleGenerationError as error:
            _log.info("policy_set_file_is_older", path=str(self.path), message=error.message)
        except UnavailableError as error:
            # The source may be readable later: try again at the next look.
            _log.warning("policy_set_file_waits", path=str(self.path), message=error.message)
            return
        except KubefuguError as error:
            if isinstance(error, InvalidRequestError):
                self.readiness.require(UNREADABLE)
            _log.error("policy_set_file_refused", path=str(self.path), field=error.field, message=error.message)
        self._seen = fingerprint
        await self.readiness.refresh()

    async def watch(self, *, interval_s: float) -> None:
        """Look every `interval_s` seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(interval_s)


def _fingerprint(path: Path) -> str:
    """Of the content: a ConfigMap's mount changes by a link, whose modification time says nothing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
