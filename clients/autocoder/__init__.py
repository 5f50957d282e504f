"""Autocoder: code completion that is local, private and instant.

The package's front door: its version, and silence. ONNX Runtime's wheels report to their maker
unless told not to before they are imported, and so do Hugging Face's libraries; importing anything
of ours tells them. Knows nothing else; importing it is free.
"""

import os

__version__ = "0.1.0"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
