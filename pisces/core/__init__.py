"""What every other package may use: names of classes, files, random streams, statistics."""
