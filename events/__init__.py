"""What happened, as frozen models; each `type` is written once, here."""
