"""RoutingPolicy: a line of published versions of a routing head, and what is live on the routers."""
