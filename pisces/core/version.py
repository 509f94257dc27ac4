"""The version of this project, which a model file and its readers go by."""

VERSION = "0.1.0"
