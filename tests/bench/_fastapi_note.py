"""`_note` on FastAPI as its documentation builds it. With NOTE_REMEMBERS=1 a verified token is remembered."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import jwt
import redis.asyncio
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    cache = redis.asyncio.from_url(os.environ["SUTAZAI_REDIS_URL"])
    async with asyncpg.create_pool(os.environ["SUTAZAI_POSTGRES_URL"], min_size=1, max_size=10) as pool:
        app.state.cache, app.state.pool = cache, pool
        yield
    await cache.aclose()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()
KEY: Any = load_pem_public_key(os.environ["NOTE_PUBLIC_KEY"].encode())


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token, KEY, algorithms=["EdDSA"], audience="sutazai", issuer="https://sutazai.local"
    )
    return claims


if os.environ.get("NOTE_REMEMBERS"):
    claims_of = lru_cache(maxsize=4096)(claims_of)


async def reader(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> UUID:
    try:
        claims = claims_of(credentials.credentials)
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}) from None
    if "tasks:read" not in claims["scope"].split():
        raise HTTPException(403, "Not enough permissions")
    return UUID(claims["sub"])


class ReadNote(BaseModel):
    language: str = Field(min_length=2, max_length=5)
    words: int = Field(ge=1, le=1000)
    tags: list[str] = Field(max_length=10)


class Note(BaseModel):
    note_id: UUID
    title: str
    text: str
    seen: str
    reader: UUID


@app.post("/notes/{note_id}")
async def read_note(
    asked: ReadNote, request: Request, note_id: Annotated[UUID, Path()], user_id: Annotated[UUID, Depends(reader)]
) -> Note:
    cache, pool = request.app.state.cache, request.app.state.pool
    key = f"NOTE:{note_id}"
    seen = await cache.get(key)
    await cache.set(key, asked.language, px=60_000)
    async with pool.acquire() as connection:
        row = await connection.fetchrow("SELECT id, title, text FROM sutazai.notes WHERE id = $1", note_id)
    if row is None:
        raise HTTPException(404, "no such note")
    return Note(
        note_id=row["id"],
        title=row["title"],
        text=row["text"][: asked.words],
        seen=(seen or b"").decode(),
        reader=user_id,
    )
