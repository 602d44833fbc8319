"""Finds harmful content."""

from detectors.harm.detector import Harm, HarmScanner, HarmSettings

__all__ = ["Harm", "HarmScanner", "HarmSettings"]
