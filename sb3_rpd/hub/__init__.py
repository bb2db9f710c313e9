"""Students on the Hugging Face hub."""

from sb3_rpd.hub.load import HubStudent, load_from_hub
from sb3_rpd.hub.push import push_to_hub

__all__ = ["HubStudent", "load_from_hub", "push_to_hub"]
