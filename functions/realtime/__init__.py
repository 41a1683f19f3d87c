"""/ws: what happens, told as it happens, and commands on the same socket."""
