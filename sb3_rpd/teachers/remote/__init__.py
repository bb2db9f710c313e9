"""What the teachers behind a network share: checked messages, patient connections, mappings of observations."""
