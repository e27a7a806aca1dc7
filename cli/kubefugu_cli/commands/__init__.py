"""The commands: signatures and printing. What they do is in the other packages and imported when a command runs."""
