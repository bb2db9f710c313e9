"""The evidence: declared runs, a command that does what is missing, and the report that is made of their results."""
