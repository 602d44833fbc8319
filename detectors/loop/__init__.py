"""Finds text that goes round in circles."""

from detectors.loop.detector import Loop, LoopScanner
from detectors.loop.settings import LoopSettings

__all__ = ["Loop", "LoopScanner", "LoopSettings"]
