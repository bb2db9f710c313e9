"""
A policy server as openpi's is, written from the wire format and sharing no code with this package.

Its policy answers with a chunk of three actions: [sum of the image, first number of the state, position in the chunk].
An observation of ALOHA's form, its images channels first in a dict of their own, gets the same of its camera "cam_high". The
prompts "raise", "garbage" and "hang" make it fail in its several ways.
"""

import asyncio
import sys
import traceback

import msgpack
import numpy as np
from websockets.asyncio.server import serve


def encode(value):
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def decode(message):
    if b"__ndarray__" in message:
        return np.ndarray(buffer=message[b"data"], dtype=np.dtype(message[b"dtype"]), shape=message[b"shape"])
    return message


def infer(observation):
    if observation["prompt"] == "raise":
        raise RuntimeError("the policy broke")
    if "images" in observation:
        assert set(observation["images"]) <= {"cam_high", "cam_low", "cam_left_wrist", "cam_right_wrist"}
        assert {image.shape[0] for image in observation["images"].values()} == {3}
        # of the first channel alone, which tells the order of the axes
        first = [observation["images"]["cam_high"][0].sum(), observation["state"][0]]
    else:
        first = [observation["observation/image"].sum(), observation["observation/state"][0]]
    actions = np.array([[*first, position] for position in range(3)], dtype=np.float64)
    return {"actions": actions, "policy_timing": {"infer_ms": np.float32(1.5)}}


async def answer(websocket):
    await websocket.send(msgpack.packb({"robot": "lookalike"}))
    async for frame in websocket:
        observation = msgpack.unpackb(frame, object_hook=decode)
        if observation["prompt"] == "garbage":
            await websocket.send(b"\xc1\xff\x00")
        elif observation["prompt"] == "hang":
            await asyncio.Future()
        else:
            try:
                await websocket.send(msgpack.packb(infer(observation), default=encode))
            except Exception:
                await websocket.send(traceback.format_exc())
                await websocket.close(1011)
                return


async def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    async with serve(answer, "127.0.0.1", port, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
