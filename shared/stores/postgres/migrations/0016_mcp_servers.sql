-- MCP servers outside the platform, what they offer, and what was approved of it.

CREATE TABLE mcp_servers (
    name text PRIMARY KEY,
    url bytea NOT NULL,                  -- through the codec, as headers below
    headers bytea NOT NULL,
    added_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    protocol text,                       -- the revision it was last found to speak
    instructions text NOT NULL DEFAULT '',
    problems text[] NOT NULL DEFAULT '{}',
    checked_at timestamptz,
    check_at timestamptz NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0, -- in a row
    last_error text
);
CREATE INDEX mcp_servers_check ON mcp_servers (check_at);

CREATE TABLE mcp_server_tools (
    server text NOT NULL REFERENCES mcp_servers ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,           -- as it is offered now, cleaned
    digest bytea NOT NULL,               -- SHA-256 of it
    offered boolean NOT NULL DEFAULT true,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    approved jsonb,                      -- the definition that callers see
    approved_digest bytea,
    approved_by uuid REFERENCES users ON DELETE SET NULL,
    approved_at timestamptz,
    changed_at timestamptz,              -- since then it waits to be approved again
    PRIMARY KEY (server, name),
    CHECK ((approved IS NULL) = (approved_digest IS NULL))
);

-- What one user proves themselves with there, in place of the server's own headers.
CREATE TABLE mcp_credentials (
    server text NOT NULL REFERENCES mcp_servers ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    headers bytea NOT NULL,              -- through the codec
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, user_id)
);
CREATE INDEX mcp_credentials_user ON mcp_credentials (user_id);
