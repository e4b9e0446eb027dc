"""A WebSocket client and an event-stream client through the gateway at its documented port, against a service of their own."""
import asyncio
import time

import httpx
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from httpx_sse import aconnect_sse

app = FastAPI()


@app.websocket("/socket")
async def socket(ws: WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text("echo " + text)


@app.get("/events")
async def events():
    async def stream():
        for i in range(3):
            yield f"id: {i}\ndata: {i}\n\n"
            await asyncio.sleep(0.3)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def main():
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=8019, log_level="warning"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(timeout=None) as client:
        service = {"name": "streams", "host": "127.0.0.1", "port": 8019, "requires_auth": False}
        registered = await client.post("http://127.0.0.1:8001/api/registry/register", json=service)
        assert registered.status_code == 201, registered.text
        assert (await client.get("http://127.0.0.1:8000/api/streams/missing")).status_code == 404
        began, arrived = time.monotonic(), []
        async with aconnect_sse(client, "GET", "http://127.0.0.1:8000/api/streams/events") as source:
            async for event in source.aiter_sse():
                arrived.append((event.id, event.data, time.monotonic() - began))
        assert [(id, data) for id, data, _ in arrived] == [(str(i), str(i)) for i in range(3)], arrived
        assert arrived[2][2] - arrived[0][2] > 0.5, arrived
    async with websockets.connect("ws://127.0.0.1:8000/api/streams/socket") as ws:
        for text in ["a", "ü" * 70_000]:
            await ws.send(text)
            assert await ws.recv() == "echo " + text
    server.should_exit = True
    await running


asyncio.run(main())
