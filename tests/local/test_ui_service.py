"""What the UI's process is told of the platform."""

import json
from pathlib import Path

from shared.local.ui import ui_origins, ui_service


async def _ready() -> bool:
    return True


def test_the_ui_is_told_no_secret_but_where_its_own_key_lies() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/home/ada",
        "SUTAZAI_HOSTS": "ui.example.org",
        "SUTAZAI_POSTGRES_URL": "postgresql://u:secret@db/x",
        "SUTAZAI_REDIS_URL_FILE": "/keys/redis.url",
        "SUTAZAI_ADMIN_PASSWORD": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    service = ui_service(environ, port=11000, api="http://127.0.0.1:10008", key=Path("/keys/ui.key"), ready=_ready)
    assert service.env == {
        "PATH": "/bin",
        "HOME": "/home/ada",
        "SUTAZAI_HOSTS": "ui.example.org",
        "SUTAZAI_API_URL": "http://127.0.0.1:10008",
        "SUTAZAI_UI_KEY_FILE": "/keys/ui.key",
    }
    assert service.argv[1:] == ("-m", "ui", "--port", "11000") and service.role == "ui"
    assert "secret" not in json.dumps(service.argv)


def test_pages_of_this_machine_go_by_all_its_names_and_by_those_that_the_operator_adds() -> None:
    origins = ui_origins(11000, {"SUTAZAI_UI_ORIGINS": "https://ui.example.org"}).split(",")
    assert origins == [
        "http://127.0.0.1:11000",
        "http://localhost:11000",
        "http://[::1]:11000",
        "https://ui.example.org",
    ]
