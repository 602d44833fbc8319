"""Finds listed words, phrases and regular expressions."""

from detectors.pattern.detector import Pattern, PatternScanner
from detectors.pattern.settings import PatternRule, PatternSettings, WordList

__all__ = ["Pattern", "PatternRule", "PatternScanner", "PatternSettings", "WordList"]
