"""The API server as the operator sees it: a Protocol, the client that implements it, server-side apply without needless writes."""
