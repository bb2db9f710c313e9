"""
A policy server as Isaac GR00T's is, written from the wire format and sharing no code with this package.

It checks the observation as GR00T does, says which parts it wants when it is asked ("json" as N1.6 does, "dict" as N1.7
does, "no" not at all), and answers with a chunk of two actions: "hand" has the mean of the image and the
length of the instruction, "gripper" the first number of the state; the second action is one higher in everything.
The instructions "garbage" and "hang" make it fail in its several ways.
"""

import argparse
import io
import json

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


def get_modality_config(form, language_key):
    if form == "no":
        raise ValueError("Unknown endpoint: get_modality_config")
    keys = {"video": ["ego_view"], "state": ["arm"], "action": ["hand", "gripper"], "language": [language_key]}
    described = {modality: {"delta_indices": [0], "modality_keys": names} for modality, names in keys.items()}
    return {
        modality: {"__ModalityConfig_class__": True, "as_json": json.dumps(config) if form == "json" else config}
        for modality, config in described.items()
    }


def get_action(observation, options, language_key):
    assert language_key in observation["language"], f"Language key '{language_key}' must be in observation"
    image, state = observation["video"]["ego_view"], observation["state"]["arm"]
    assert image.dtype == np.uint8
    assert (image.ndim, image.shape[1], image.shape[-1]) == (5, 1, 3)
    assert state.dtype == np.float32
    assert (state.ndim, *state.shape[:2]) == (3, *image.shape[:2])
    (texts,) = zip(*observation["language"][language_key], strict=True)
    assert len(texts) == len(image)
    assert options is None
    hand = np.stack([image.mean(axis=(1, 2, 3, 4)), [len(text) for text in texts]], axis=1)
    chunk = np.arange(2.0)[np.newaxis, :, np.newaxis]
    return [{"hand": hand[:, np.newaxis] + chunk, "gripper": state[:, :1, :1] + chunk}, {"batch": len(image)}]


def answer(request, settings):
    if settings.token and request.get("api_token") != settings.token:
        return {"error": "Unauthorized: Invalid API token"}
    try:
        if request["endpoint"] == "get_modality_config":
            return get_modality_config(settings.config, settings.language_key)
        return get_action(**request["data"], language_key=settings.language_key)
    except KeyError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": repr(error)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("token", nargs="?")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--language-key", default="annotation.human.task_description")
    parser.add_argument("--config", default="dict")
    settings = parser.parse_args()
    # speaks to clients as a REP socket does, and may leave a question without an answer
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.setsockopt(zmq.IPV6, 1)
    print(socket.bind_to_random_port(f"tcp://{settings.host}"), flush=True)
    while True:
        client, _, frame = socket.recv_multipart()
        request = msgpack.unpackb(frame, object_hook=decode)
        told = [] if "data" not in request else list(request["data"]["observation"]["language"].values())
        if told == [[["hang"]]]:
            continue
        if told == [[["garbage"]]]:
            frame = msgpack.packb([{"hand": {"__ndarray_class__": True, "as_npy": b"no array"}}, {}])
        else:
            frame = msgpack.packb(answer(request, settings), default=encode)
        socket.send_multipart([client, b"", frame])


if __name__ == "__main__":
    main()
