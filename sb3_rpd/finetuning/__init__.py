"""Fine-tuning: OpenVLA trained on demonstrations, by adapters or with all its weights."""

from sb3_rpd.finetuning.examples import Batch, Examples
from sb3_rpd.finetuning.finetune import FineTuning, finetune
from sb3_rpd.finetuning.objective import Objective
from sb3_rpd.finetuning.recipe import Recipe
from sb3_rpd.finetuning.training import Evaluation

__all__ = ["Batch", "Evaluation", "Examples", "FineTuning", "Objective", "Recipe", "finetune"]
