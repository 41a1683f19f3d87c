"""The version of the whole."""

VERSION = "0.1.0"
