"""The sections of params.yaml, by what they are about; every key with its meaning and its range."""
