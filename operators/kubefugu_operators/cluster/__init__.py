"""The API server as the operator sees it: a Protocol, its client, and server-side apply without needless writes."""
