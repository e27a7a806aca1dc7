"""The trainer's commands: arguments to configuration, parts wired together, results printed."""
