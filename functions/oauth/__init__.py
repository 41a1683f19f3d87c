"""OAuth for the MCP servers: how programs are let in without being given a password or a key.

Each server is a resource of its own (RFC 9728): its refusals lead to a description, which leads to whoever issues
tokens for it. That is this platform itself, unless SUTAZAI_OAUTH_ISSUER names another. A program sends its user to
/oauth/authorize with a PKCE challenge (S256 only), the user signs in and agrees, and the program redeems the code that
it gets for tokens that are good at that one server. They belong to a session like any other, which its user sees and
can end. A program is known by the https:// URL that describes it; one without a URL may register at /oauth/register.
"""
