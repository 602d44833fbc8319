"""Names of languages: in a prompt they ask for a language, in a response they announce a mention of one."""
# ruff: noqa: E501 - one row a language

from __future__ import annotations

import re
from typing import Final

from detectors.language.scripts import Script, scripts_of

_NAMES: Final = {
    "ar": "arabic arabe árabe arabisch arabo арабский арабском العربية 阿拉伯语 アラビア語",
    "be": "belarusian беларуская",
    "bg": "bulgarian български",
    "bn": "bengali bangla বাংলা",
    "ca": "catalan català",
    "cs": "czech čeština česky",
    "da": "danish dansk",
    "de": "german deutsch deutsche deutschen allemand alemán alemão tedesco немецкий немецком 德语 德文 ドイツ語 독일어",
    "el": "greek ελληνικά",
    "en": "english englisch anglais inglés inglês inglese английский английском английски الإنجليزية 英文 英语 英語 영어",
    "es": "spanish español castellano espagnol spanisch espanhol spagnolo испанский испанском 西班牙语 スペイン語 스페인어",
    "fa": "persian farsi فارسی",
    "fi": "finnish suomi suomeksi",
    "fr": "french français française französisch francés francês francese французский французском الفرنسية 法语 法文 フランス語 프랑스어",
    "gu": "gujarati ગુજરાતી",
    "he": "hebrew עברית",
    "hi": "hindi हिन्दी हिंदी",
    "hr": "croatian hrvatski hrvatskom",
    "hu": "hungarian magyar magyarul",
    "hy": "armenian հայերեն",
    "id": "indonesian bahasa indonesio indonésio",
    "it": "italian italiano italien italienisch итальянский итальянском 意大利语 イタリア語 이탈리아어",
    "ja": "japanese romaji kanji hiragana katakana japonais japonés japonês japanisch giapponese японский японском 日本語 日语 日文 일본어",
    "ka": "georgian ქართული",
    "kk": "kazakh қазақ",
    "ko": "korean hangul coréen coreano koreanisch корейский корейском 한국어 韩语 韩文 韓国語",
    "mk": "macedonian македонски",
    "ml": "malayalam മലയാളം",
    "ms": "malay melayu",
    "nl": "dutch nederlands",
    "no": "norwegian norsk",
    "pa": "punjabi ਪੰਜਾਬੀ",
    "pl": "polish polski polsku",
    "pt": "portuguese português portugués portugais portugiesisch portoghese португальский португальском 葡萄牙语 ポルトガル語",
    "ro": "romanian română",
    "ru": "russian russe ruso russo russisch русский русском русски الروسية 俄语 俄文 ロシア語 러시아어",
    "sk": "slovak slovenčina",
    "sr": "serbian српски srpski",
    "sv": "swedish svenska",
    "ta": "tamil தமிழ்",
    "te": "telugu తెలుగు",
    "th": "thai ไทย",
    "tr": "turkish türkçe",
    "uk": "ukrainian українська українською",
    "ur": "urdu اردو",
    "vi": "vietnamese tiếng",
    "zh": "chinese mandarin pinyin hanzi chinois chino chinês chinesisch cinese китайский китайском 中文 汉语 漢語 普通话 中国語 중국어",
}
_NAMED: Final = {name: language for language, names in _NAMES.items() for name in names.split()}
_ALPHABETS: Final = {"Cyrillic": "ru", "Devanagari": "hi"}
_MENTIONS: Final = {
    **{name.title(): language for name, language in _NAMED.items() if name.isascii()},
    **{name: _NAMED[name] for name in ("kanji", "hanzi", "pinyin", "hiragana", "katakana", "romaji", "hangul")},
    **_ALPHABETS,
}
_WORD: Final = re.compile(r"[^\W\d_]+")


def languages_named_in(prompt: str) -> set[str]:
    """The languages that `prompt` calls by their names, in English or in another language people ask in."""
    words = {word.lower() for word in _WORD.findall(prompt)}
    unspaced = {name for name in _NAMED if name > "\u2e80" and name in prompt}
    return {_NAMED[word] for word in words & _NAMED.keys()} | {_NAMED[name] for name in unspaced}


def scripts_named_by(word: str) -> frozenset[Script]:
    """The scripts, other than Latin, of the language that `word` is the name of; mostly none."""
    language = _MENTIONS.get(word)
    return scripts_of((language,)) - {Script.LATIN} if language else frozenset()
