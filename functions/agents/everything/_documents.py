"""What the static documents say."""

from collections.abc import Mapping
from typing import Final

DOCUMENTS: Final[Mapping[str, str]] = {
    "architecture.md": """# Architecture

Every tool, resource and prompt of this server is one function in one module. A decorator says what it is for; its
first parameter is what callers send, its keyword-only parameters are what it needs. The server that speaks MCP is
made from these declarations and keeps nothing between two requests.
""",
    "extension.md": """# Extension

A new tool is a new module in the package of its agent, with one function of the same name under `@tool`. `@resource`
takes a URI or a template of one, `@prompt` makes messages. Nothing has to be registered: what lies in the package is
served.
""",
    "features.md": """# Features

- tools that answer text, images, links, embedded resources and structured data
- progress and log messages while a tool runs
- questions to the person, the model and the roots of the client
- resources that are listed, and templates of resources
- prompts with arguments, and suggestions for them
""",
    "how-it-works.md": """# How it works

A request is checked, let in and counted, then handed to the function that it names. A call of a tool is recorded as
an execution of the caller's and can be found in their history. A tool that needs an answer of its client ends its
attempt with the question, and begins anew once the answer is there.
""",
    "instructions.md": """# Instructions

Use `echo` to see that calls arrive, `get-sum` to see that arguments do, and `trigger-long-running-operation` to see
progress. Resources whose URI begins with `demo://resource/dynamic/` take any whole number from 1 on.
""",
    "startup.md": """# Startup

The server starts with the first request that reaches it and goes back to nothing when none comes. Drivers are
imported when something needs them, so the first answer takes milliseconds rather than seconds.
""",
    "structure.md": """# Structure

- one public module for each tool, resource and prompt
- modules whose names begin with an underscore: what several of them share
- `__init__.py`: what the server tells clients of itself
""",
}
