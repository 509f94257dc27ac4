"""Stored frames as batches on a device, and which of them train, validate and test."""
