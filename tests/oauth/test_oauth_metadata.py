"""What clients read before they ask: resources, and who issues tokens for them."""

from pathlib import Path

import pytest
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata

from shared.catalog import agent_names
from shared.config import Settings
from shared.errors import ConfigurationError, Forbidden, Invalid
from shared.function import Call
from shared.identity import KEY_SCOPES
from shared.public_url import PublicUrl, resource_among
from tests.oauth.house import BASE, House, at

RESOURCE = "/.well-known/oauth-protected-resource"


@pytest.mark.parametrize("path", ["", "/mcp", "/mcp/everything", "/mcp/memory-bank", "/mcp/mcp-servers"])
def test_every_server_says_who_issues_tokens_for_it(settings: Settings, path: str) -> None:
    async def scenario(house: House) -> None:
        answer = await house.http.get(f"{RESOURCE}{path}")
        body = answer.json()
        assert answer.status_code == 200 and ProtectedResourceMetadata.model_validate(body)
        assert {**body, "resource_name": ""} == {
            "resource": f"{BASE}{path}",
            "authorization_servers": [BASE],
            "scopes_supported": ["agents:execute", "tasks:read", "tasks:write"],
            "bearer_methods_supported": ["header"],
            "resource_name": "",
        }

    at(settings, scenario)


def test_there_is_nothing_to_say_of_an_agent_that_is_none(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        answer = await house.http.get(f"{RESOURCE}/mcp/nobody")
        assert (answer.status_code, answer.json()["error_description"]) == (404, "no agent 'nobody'")

    at(settings, scenario)


def test_the_issuer_says_what_it_can_and_nothing_that_it_cannot(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        body = (await house.http.get("/.well-known/oauth-authorization-server")).json()
        assert OAuthMetadata.model_validate(body)
        assert body == {
            "issuer": BASE,
            "authorization_endpoint": f"{BASE}/oauth/authorize",
            "token_endpoint": f"{BASE}/oauth/token",
            "revocation_endpoint": f"{BASE}/oauth/revoke",
            "registration_endpoint": f"{BASE}/oauth/register",
            "jwks_uri": f"{BASE}/.well-known/jwks.json",
            "scopes_supported": sorted(KEY_SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        }

    at(settings, scenario)


def test_a_refusal_leads_to_the_description_of_what_was_asked_for(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        answer = await house.http.post("/mcp/everything", json={})
        assert answer.status_code == 401
        metadata = f"{BASE}{RESOURCE}/mcp/everything"
        expected = f'Bearer realm="sutazai", scope="agents:execute", resource_metadata="{metadata}"'
        assert answer.headers["www-authenticate"] == expected
        assert (await house.http.get(metadata)).json()["resource"] == f"{BASE}/mcp/everything"

    at(settings, scenario)


def _public(home: Path, **environ: str) -> PublicUrl:
    return PublicUrl(settings=Settings.read({"SUTAZAI_HOME": str(home), **environ}))


def _call(host: str, scheme: str = "http") -> Call:
    return Call(request_id="r", host=host, scheme=scheme)


def test_without_a_setting_the_host_that_was_asked_for_counts_if_it_is_ours(tmp_path: Path) -> None:
    public = _public(tmp_path, SUTAZAI_HOSTS="agents.example.org, *.svc.local")
    assert public.of(_call("127.0.0.1:10008")) == "http://127.0.0.1:10008"
    assert public.of(_call("[::1]:10008")) == "http://[::1]:10008"
    assert public.of(_call("LOCALHOST")) == "http://localhost"
    assert public.of(_call("agents.example.org", "https")) == "https://agents.example.org"
    assert public.of(_call("a.svc.local:80")) == "http://a.svc.local:80"
    for strange in ("evil.example", "", "127.0.0.1.evil.example", "agents.example.org.evil.example", "svc.local"):
        with pytest.raises(Forbidden):
            public.of(_call(strange))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:80@evil.example", "localhost:80/evil", 'localhost:1"x', "localhost:", "localhost:1 2"]
)
def test_a_host_that_says_more_than_a_port_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(Forbidden):
        _public(tmp_path).of(_call(host))


def test_the_setting_counts_whatever_host_was_asked_for(tmp_path: Path) -> None:
    public = _public(tmp_path, SUTAZAI_PUBLIC_URL="https://agents.example.org/")
    assert public.of(_call("10.0.0.7:8080")) == "https://agents.example.org"


@pytest.mark.parametrize(
    "name, value",
    [
        ("SUTAZAI_PUBLIC_URL", "http://agents.example.org"),
        ("SUTAZAI_PUBLIC_URL", "https://agents.example.org/path"),
        ("SUTAZAI_PUBLIC_URL", "https://user@agents.example.org"),
        ("SUTAZAI_PUBLIC_URL", "agents.example.org"),
        ("SUTAZAI_OAUTH_ISSUER", "http://login.example.org"),
        ("SUTAZAI_OAUTH_ISSUER", "https://user@login.example.org"),
        ("SUTAZAI_OAUTH_ISSUER", "login.example.org"),
    ],
)
def test_a_setting_that_is_no_place_of_ours_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        _public(tmp_path, **{name: value})


@pytest.mark.parametrize(
    "asked",
    [
        "https://127.0.0.1:10008/mcp",
        f"{BASE}/mcp/nobody",
        f"{BASE}/mcp/everything/x",
        f"{BASE}/mcp/everything?x",
        f"{BASE}/mcp/everything#x",
        f"{BASE}/mcp/../mcp/everything",
        f"{BASE}/mcp/Everything",
        f"{BASE}/api/v1",
        f"{BASE}@evil.example/mcp",
        "http://evil.example/mcp/everything",
        "everything",
        "/mcp/everything",
        "//127.0.0.1:10008/mcp",
        "sutazai",
        " ",
    ],
)
def test_what_is_none_of_our_resources_is_refused(asked: str) -> None:
    with pytest.raises(Invalid) as refusal:
        resource_among(asked, BASE, agent_names())
    assert refusal.value.details["error"] == "invalid_target"
