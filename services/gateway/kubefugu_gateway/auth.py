"""Who calls: an API key as OpenAI's clients send it, turned into a tenant."""

from __future__ import annotations

from collections.abc import Iterable

from kubefugu_core.errors import AuthenticationError
from kubefugu_gateway.keys import KeyFile

DEFAULT_TENANT = "default"
"""Tenant of everyone where no keys are needed."""

_MAX_KEY_BYTES = 1024


class Authenticator:
    """Finds the tenant of a request. `keys` absent means that none is needed."""

    def __init__(self, keys: KeyFile | None) -> None:
        self._keys = keys

    def tenant(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The tenant. Raises AuthenticationError for no key or an unknown one."""
        if self._keys is None:
            return DEFAULT_TENANT
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer" or not key.strip():
            raise AuthenticationError("You didn't provide an API key. Send it in the header 'Authorization: Bearer KEY'.")
        # HTTP header bytes are latin-1; a key is ASCII, and anything else just does not match.
        tenant = self._keys.tenant_of(key.strip()[:_MAX_KEY_BYTES].decode("latin-1"))
        if tenant is None:
            raise AuthenticationError("Incorrect API key provided.")
        return tenant
