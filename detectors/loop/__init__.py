"""Finds text that goes round in circles."""

from detectors.loop.detector import Loop, LoopScanner, LoopSettings

__all__ = ["Loop", "LoopScanner", "LoopSettings"]
