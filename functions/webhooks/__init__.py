"""Calls to addresses that users gave: what they asked to be told of."""
