async def app(scope, receive, send):
    if scope["type"]=="lifespan":
        await receive(); await send({"type":"lifespan.startup.complete"}); await receive(); await send({"type":"lifespan.shutdown.complete"}); return
    await send({"type":"http.response.start","status":200,"headers":[(b"content-length",b"17"),(b"content-type",b"application/json")]})
    await send({"type":"http.response.body","body":b'{"hello":"world"}'})
