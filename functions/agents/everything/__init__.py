"""Utilities that exercise every feature of the platform, and a ledger that counts effects."""
