"""The few lines that Kong runs for us, since no plugin does it: what comes in is cleaned, what Kong refuses is said
as we say it."""

from shared.errors import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    SutazaiError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from shared.mcp.wire import INTERNAL_ERROR, INVALID_PARAMS
from shared.public_url import MCP, METADATA

# By status: the error whose code it has with us, and what is said. Nothing of a request stands in there.
_SAID: dict[int, tuple[type[SutazaiError], str]] = {
    400: (Invalid, "the request is not one of HTTP"),
    401: (Unauthorized, "a valid access token or API key is needed"),
    403: (Forbidden, "this is not allowed"),
    404: (NotFound, "no such path"),
    405: (MethodNotAllowed, "this method is not served here"),
    411: (Invalid, "the length of the body is not said"),
    413: (TooLarge, "the body is too large"),
    414: (Invalid, "the path is too long"),
    417: (TooLarge, "the body is too large"),
    429: (RateLimited, "too many requests come from there"),
    431: (Invalid, "the headers are too large"),
    494: (Invalid, "the headers are too large"),
    500: (SutazaiError, "something went wrong on our side"),
    502: (Unavailable, "what answers this cannot be reached now"),
    503: (Unavailable, "what answers this cannot be reached now"),
    504: (TimedOut, "the function took too long"),
}
# The longest that the coarse limits hold back, and a moment.
_RETRY_AFTER_S = {429: 60, 502: 1, 503: 1}
_RPC = {400: INVALID_PARAMS, 500: INTERNAL_ERROR}

# Runs before anything else looks at a request. All headers are asked for: with a bound, those beyond it would pass.
# Kong adds to X-Forwarded-For but replaces the other ones that are spared here, unless a trusted proxy sent them.
CLEAN = r"""local claims = { "^x[-_]consumer[-_]", "^x[-_]user[-_]", "^x[-_]credential[-_]", "^x[-_]authenticated[-_]" }
local exact = { ["x-anonymous-consumer"] = true, ["x-user"] = true, ["forwarded"] = true }
local set_by_kong = { proto = true, host = true, port = true, path = true, prefix = true }

local function is_claimed(name)
  if exact[name] then
    return true
  end
  for _, pattern in ipairs(claims) do
    if string.find(name, pattern) then
      return true
    end
  end
  local forwarded = string.match(name, "^x[-_]forwarded[-_](.+)$")
  return forwarded ~= nil and not (set_by_kong[forwarded] and string.find(name, "_", 1, true) == nil)
end

return function()
  for name, value in pairs(ngx.req.get_headers(0)) do
    local lower = string.lower(name)
    if is_claimed(lower) then
      ngx.req.clear_header(name)
    elseif lower == "x-request-id" and (type(value) ~= "string" or #value > 100
        or not string.find(value, "^[%w._-]+$")) then
      ngx.req.clear_header(name)
    end
  end
end
"""

_NOTE = r"""
local retry_after = {{ {retries} }}

return function()
  local status = kong.response.get_status()
  if kong.response.get_source() ~= "service" and status >= 400 then
    kong.ctx.shared.refused = status
    kong.response.clear_header("Content-Length")
    kong.response.set_header("Content-Type", "application/json")
    kong.response.set_header("Cache-Control", "no-store")
    if retry_after[status] and not kong.response.get_header("Retry-After") then
      kong.response.set_header("Retry-After", retry_after[status])
    end
    local path = kong.request.get_path()
    if status == 401 and string.find(path, "^{mcp}[%w/._-]*$") then
      local wrong = kong.request.get_header("Authorization") and ', error="invalid_token"' or ""
      kong.response.set_header("WWW-Authenticate", 'Bearer realm="sutazai"' .. wrong
        .. ', resource_metadata="{metadata}' .. path .. '"')
    end
  end
end
"""

_SAY = r"""
local said = {{
{said}
}}
local envelope = '{{"success":false,"error":{{"code":"%s","message":"%s","details":{{}}}},'
  .. '"timestamp":"%s","request_id":"%s"}}'
local rpc = '{{"jsonrpc":"2.0","id":null,"error":{{"code":%d,"message":"%s","data":{{"code":"%s"}}}}}}'

return function()
  local status = kong.ctx.shared.refused
  if not status or not kong.response.get_raw_body() then
    return
  end
  local found = said[status] or said[status < 500 and 400 or 500]
  if string.find(kong.request.get_path(), "^{mcp}") then
    kong.response.set_raw_body(string.format(rpc, found[3], found[2], found[1]))
    return
  end
  local id = kong.response.get_header("X-Request-ID")
  if type(id) ~= "string" or not string.find(id, "^[%w._-]+$") then
    id = ""
  end
  kong.response.set_raw_body(string.format(envelope, found[1], found[2], os.date("!%Y-%m-%dT%H:%M:%SZ"), id))
end
"""


def note(public_url: str) -> str:
    """Before the headers of an answer leave: whether it is Kong's own refusal, and for MCP where a token is got."""
    retries = ", ".join(f"[{status}] = {after}" for status, after in _RETRY_AFTER_S.items())
    return _NOTE.format(retries=retries, mcp=MCP, metadata=f"{public_url}{METADATA}").lstrip()


def say() -> str:
    """In place of its body, an envelope; under `/mcp`, an error of JSON-RPC."""
    lines = (
        f'  [{status}] = {{ "{error.code}", "{message}", {_RPC.get(status, status)} }},'
        for status, (error, message) in _SAID.items()
    )
    return _SAY.format(said="\n".join(lines), mcp=MCP).lstrip()
