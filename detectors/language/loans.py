"""Words of other languages that have become English: phrases that must not count as evidence of a switch."""

from __future__ import annotations

from typing import Final

_PHRASES: Final = (
    "a fortiori, a la carte, à la carte, a posteriori, a priori, ad absurdum, ad hoc, ad hominem, ad infinitum, "
    "ad nauseam, agent provocateur, al dente, al fresco, alma mater, art nouveau, au contraire, au courant, au gratin, "
    "au pair, avant garde, bon appétit, bon mot, bon vivant, bon voyage, bona fide, carpe diem, carte blanche, "
    "cause célèbre, cogito ergo sum, comme il faut, compos mentis, coq au vin, corpus delicti, coup d'état, "
    "coup de grâce, crème brûlée, crème de la crème, cul de sac, curriculum vitae, de facto, de jure, de novo, "
    "de rigueur, déjà vu, deus ex machina, dolce far niente, dolce vita, double entendre, en bloc, en masse, "
    "en passant, en route, enfant terrible, ergo sum, esprit de corps, et al, et cetera, ex ante, ex cathedra, "
    "ex nihilo, ex officio, ex post, ex post facto, fait accompli, faux pas, femme fatale, fin de siècle, foie gras, "
    "grand prix, habeas corpus, habeas corpus ad subjiciendum, haute couture, hors d'oeuvre, hors d'œuvre, "
    "in absentia, in extremis, in flagrante delicto, in loco parentis, in medias res, in media res, in memoriam, "
    "in situ, in toto, in utero, in vino veritas, in vitro, in vivo, inter alia, ipso facto, je ne sais quoi, "
    "joie de vivre, jus cogens, la dolce vita, laissez faire, lingua franca, magna cum laude, magnum opus, "
    "mea culpa, memento mori, ménage à trois, mens rea, mise en place, mise en scène, modus operandi, modus ponens, "
    "modus tollens, modus vivendi, mot juste, mutatis mutandis, ne plus ultra, nil desperandum, noblesse oblige, "
    "nolo contendere, nom de guerre, nom de plume, non compos mentis, non sequitur, nota bene, nouveau riche, "
    "objet d'art, pain au chocolat, par excellence, per annum, per capita, per diem, per se, persona non grata, "
    "petit four, pièce de résistance, pied à terre, post hoc, post hoc ergo propter hoc, post mortem, "
    "prima facie, pro bono, pro forma, pro rata, pro tempore, propter hoc, quid pro quo, quod erat demonstrandum, "
    "raison d'être, reductio ad absurdum, res ipsa loquitur, res judicata, rigor mortis, sang froid, savoir faire, "
    "semper fidelis, si vis pacem para bellum, sine die, sine qua non, soi disant, stare decisis, status quo, "
    "sub judice, sub rosa, sui generis, summa cum laude, table d'hôte, terra firma, terra incognita, tête à tête, "
    "tour de force, trompe l'oeil, ultra vires, urbi et orbi, vade mecum, veni vidi vici, vice versa, vis à vis, "
    "vis-à-vis, viva voce, vox populi"
)
_LONGEST: Final = 5
_BY_LAST: Final[dict[str, list[tuple[str, ...]]]] = {}
for _phrase in _PHRASES.split(", "):
    _words = tuple(_phrase.split())
    _BY_LAST.setdefault(_words[-1], []).append(_words)
for _phrases in _BY_LAST.values():
    _phrases.sort(key=len, reverse=True)


def ends_loan(word: str) -> bool:
    """May `word` (lower case) be the last of a loan phrase? Asked of every word, so that few lists are made."""
    return word in _BY_LAST


def loan_length(words: list[str]) -> int:
    """How many of the last `words` (lower case) are a loan phrase; 0 if none are. Look-ups cost a dictionary access."""
    phrases = _BY_LAST.get(words[-1])
    if phrases is None:
        return 0
    tail = tuple(words[-_LONGEST:])
    return next((len(phrase) for phrase in phrases if tail[-len(phrase) :] == phrase), 0)
