"""Finds text in a language or script that nobody asked for."""

from detectors.language.detector import Language, LanguageScanner, LanguageSettings

__all__ = ["Language", "LanguageScanner", "LanguageSettings"]
