"""The narrow engines: pure functions from a question to an answer or a reason to decline. No I/O beyond their data files."""
