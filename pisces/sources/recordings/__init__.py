"""Recordings of radio signals, in the formats that radios and their software write."""
