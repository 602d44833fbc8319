"""Asks guard models whether a text harms."""

from detectors.guard_model.detector import GuardModel
from detectors.guard_model.settings import (
    EndpointGuard,
    GuardModelSettings,
    Limits,
    ModerationsGuard,
    TransformersGuard,
)

__all__ = ["EndpointGuard", "GuardModel", "GuardModelSettings", "Limits", "ModerationsGuard", "TransformersGuard"]
