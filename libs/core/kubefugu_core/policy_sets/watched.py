"""The policy set file, watched: in the cluster a mounted ConfigMap, on one machine a file that the command line writes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from kubefugu_core.errors import InvalidRequestError, KubefuguError, StaleGenerationError, UnavailableError
from kubefugu_core.policy_sets import documents
from kubefugu_core.policy_sets.declared import DeclaredSet

UNREADABLE = 1 << 64
"""Stands for the generation of a declaration that can't be read: nobody serves it."""
_log = structlog.get_logger()


@dataclass(eq=False, kw_only=True)
class PolicySetFile:
    """Applies the file's declaration when its content changes, and again while a source could not be read."""

    path: Path
    apply: Callable[[DeclaredSet], Awaitable[None]]
    """Takes a declaration over. Raises KubefuguError; UnavailableError where trying again may help."""
    require: Callable[[int], None]
    """Is told the generation that the file declares, before it is applied; UNREADABLE where it can't be read."""
    looked: Callable[[], Awaitable[None]]
    """Is called after each new content."""
    _seen: str = ""

    async def look(self) -> None:
        """Apply the file's content if it is new."""
        fingerprint = await asyncio.to_thread(_fingerprint, self.path)
        if fingerprint == self._seen:
            return
        try:
            declared = await asyncio.to_thread(documents.read_file, self.path)
            if declared is not None:
                self.require(declared.generation)
                await self.apply(declared)
        except StaleGenerationError as error:
            _log.info("policy_set_file_is_older", path=str(self.path), message=error.message)
        except UnavailableError as error:
            # The source may be readable later: try again at the next look.
            _log.warning("policy_set_file_waits", path=str(self.path), message=error.message)
            return
        except KubefuguError as error:
            if isinstance(error, InvalidRequestError):
                self.require(UNREADABLE)
            _log.error("policy_set_file_refused", path=str(self.path), field=error.field, message=error.message)
        self._seen = fingerprint
        await self.looked()

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
