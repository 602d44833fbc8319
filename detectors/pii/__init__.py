"""Finds personal data and secrets, with Microsoft Presidio's recognizers."""

from detectors.pii.detector import Pii, PiiScanner
from detectors.pii.settings import PiiSettings

__all__ = ["Pii", "PiiScanner", "PiiSettings"]
