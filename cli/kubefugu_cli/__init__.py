"""The `kubefugu` command: a local stack on one machine, and a client for any gateway. Imports no ML package."""
