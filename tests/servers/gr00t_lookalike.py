"""
A policy server as Isaac GR00T's is, written from the wire format and sharing no code with this package.

It checks the observation as GR00T does and answers with a chunk of two actions: "hand" has the mean of the image and the
length of the instruction, "gripper" the first number of the state; the second action is one higher in everything.
The instructions "garbage" and "hang" make it fail in its several ways.
"""

import io
import sys

import msgpack
import numpy as np
import zmq


def decode(message):
    if "__ndarray_class__" in message:
        return np.load(io.BytesIO(message["as_npy"]), allow_pickle=False)
    return message


def encode(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": buffer.getvalue()}


def get_action(observation, options):
    image, state = observation["video"]["ego_view"], observation["state"]["arm"]
    assert image.dtype == np.uint8
    assert (image.ndim, image.shape[1], image.shape[-1]) == (5, 1, 3)
    assert state.dtype == np.float32
    assert (state.ndim, *state.shape[:2]) == (3, *image.shape[:2])
    (texts,) = zip(*observation["language"]["annotation.human.task_description"], strict=True)
    assert len(texts) == len(image)
    assert options is None
    hand = np.stack([image.mean(axis=(1, 2, 3, 4)), [len(text) for text in texts]], axis=1)
    chunk = np.arange(2.0)[np.newaxis, :, np.newaxis]
    return [{"hand": hand[:, np.newaxis] + chunk, "gripper": state[:, :1, :1] + chunk}, {"batch": len(image)}]


def answer(request, api_token):
    if api_token and request.get("api_token") != api_token:
        return {"error": "Unauthorized: Invalid API token"}
    try:
        return get_action(**request["data"])
    except Exception as error:
        return {"error": repr(error)}


def main(api_token):
    # speaks to clients as a REP socket does, and may leave a question without an answer
    socket = zmq.Context().socket(zmq.ROUTER)
    print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    while True:
        client, _, frame = socket.recv_multipart()
        request = msgpack.unpackb(frame, object_hook=decode)
        instructions = request["data"]["observation"]["language"]["annotation.human.task_description"]
        if instructions == [["hang"]]:
            continue
        if instructions == [["garbage"]]:
            frame = msgpack.packb([{"hand": {"__ndarray_class__": True, "as_npy": b"no array"}}, {}])
        else:
            frame = msgpack.packb(answer(request, api_token), default=encode)
        socket.send_multipart([client, b"", frame])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
