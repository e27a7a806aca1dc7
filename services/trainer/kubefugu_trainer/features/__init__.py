"""Features of a frozen backbone for each question, computed once and kept on disk."""
