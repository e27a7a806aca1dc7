"""The local stack: the services of kubefugu as supervised processes of one machine.

`plan` says which processes (pure), `supervisor` keeps them (own process), `launch` and `stop` are what `up` and `down` do.
"""
