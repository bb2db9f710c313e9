"""
A real vlagents server with the built-in policy "test" (or one that answers with what it saw, "mirror", or one whose protocol
is that of vlagents 0.2, "old"), at a free port, which vlagents' own command line cannot choose. A second argument is the
address.
"""

import json
import sys
import threading

import numpy as np
import rpyc
from vlagents import AGENTS
from vlagents.policies.interface import Agent
from vlagents.server import AgentService


class Mirror(Agent):
    """A chunk of two actions of what it saw, the second one higher by one; fails where the instruction says so."""

    def __init__(self):
        super().__init__(default_checkpoint_path="")

    def act(self, obs):
        super().act(obs)
        robot, seen = self._require_single_arm(obs)
        if obs.language_instruction == "raise":
            raise RuntimeError("the policy broke")
        if obs.language_instruction == "hang":
            threading.Event().wait()
        image = seen.cameras["rgb_side"]
        action = [
            image.mean(),
            *image.shape[:2],
            *(seen.joints if seen.joints is not None else []),
            len(obs.language_instruction or ""),
        ]
        gripper = 0.5 if seen.gripper is None else seen.gripper
        return self._chunk_act(robot, np.array([action, np.add(action, 1)]), grippers=[gripper, gripper])


@rpyc.service
class OldService(rpyc.Service):
    """
    The outside of a server of vlagents 0.2: it is told the instruction by a method of its own, and takes the observation
    alone. What it cannot read as one it leaves a dict, and fails later.
    """

    @rpyc.exposed
    def name(self):
        return "old"

    @rpyc.exposed
    def is_initialized(self):
        return True

    @rpyc.exposed
    def reset(self, arguments):
        return "{}"

    @rpyc.exposed
    def act(self, observation):
        return json.loads(observation).camera_data_type


name = sys.argv[1]
host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
service = OldService() if name == "old" else AgentService(Mirror() if name == "mirror" else AGENTS[name](), name)
server = rpyc.ThreadedServer(
    service,
    hostname=host,
    ipv6=":" in host,
    port=0,
    protocol_config={"allow_pickle": True, "allow_public_attrs": True},
)
if name != "old":
    service._init_thread.join()
# before the port is told to anybody; rpyc does it again in start()
server.listener.listen()
# vlagents itself prints to the standard output, so this line says what it is
print(f"port {server.port}", flush=True)
server.start()
