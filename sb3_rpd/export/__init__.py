"""Students as files that run without Stable-Baselines3: ONNX and torch.export."""

from sb3_rpd.export.exporting import ExportReport, export_student
from sb3_rpd.export.formats import load_exported

__all__ = ["ExportReport", "export_student", "load_exported"]
