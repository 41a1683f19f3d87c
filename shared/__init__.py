"""The declaration, its server, the ports and their adapters."""

import os

# It would read the metadata of every installed package to find plugins, 10 ms of each start, and whatever it found
# would see all that is validated.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
