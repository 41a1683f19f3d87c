"""One public module is one function; `_name.py` is a private helper of its package."""
