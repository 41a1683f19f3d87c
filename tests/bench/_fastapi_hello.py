"""The smallest function on FastAPI."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Greeting(BaseModel):
    hello: str


@app.get("/hello")
async def hello() -> Greeting:
    return Greeting(hello="world")
