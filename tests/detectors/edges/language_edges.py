"""What language detection should say of some two hundred texts, written before its code was read.

`⟦` marks where the foreign text begins. Expected are the languages of the prompt, those the prompt asks for, and
English, which the default settings allow; `_STRICT` allows nothing beyond the prompt. A switch between Latin scripts
needs 120 characters, one between scripts a few words.
"""
# ruff: noqa: E501 - rows are kept whole

from __future__ import annotations

from typing import Final

from guard.contract import Channel
from tests.detectors.edges.case import ONSET, LanguageCase
from tests.detectors.edges.passages import ANSWERS, ENGLISH, REASONING, SPOKEN

_EN: Final = "Please answer the following question and explain each step of your reasoning."
_STRICT: Final[dict[str, list[str]]] = {"allow": []}
_NAMES: Final = {
    "zh": ("zh", "Han"), "zh-Hant": ("zh", "Han"), "ja": ("ja", "Hiragana", "Katakana", "Kana", "Han"), "ko": ("ko", "Hangul"),
    "ru": ("ru", "Cyrillic"), "uk": ("uk", "Cyrillic"), "bg": ("bg", "Cyrillic"), "el": ("el", "Greek"),
    "ar": ("ar", "Arabic"), "fa": ("fa", "Arabic"), "he": ("he", "Hebrew"), "hi": ("hi", "Devanagari"), "th": ("th", "Thai"),
    "nb": ("nb", "no", "Latin"),
}  # fmt: skip
"""Language to the words by which a finding may name it: its code or, where the script tells it, the script."""


def _quiet(name: str, text: str, why: str, prompt: str = _EN) -> LanguageCase:
    return LanguageCase(name, text, "quiet", why, prompt=prompt)


def _leak(name: str, text: str, why: str, about: tuple[str, ...], prompt: str = _EN) -> LanguageCase:
    return LanguageCase(name, text, "leak", why, about, prompt)


def _names(code: str) -> tuple[str, ...]:
    return _NAMES.get(code, (code,))


# -------------------------------------------------------------------------------- every language in its own right
NATIVE: Final = tuple(
    _quiet(f"{code} asked, {code} answered", said.answer, "The language of the prompt.", said.question)
    for code, said in SPOKEN.items()
)
ENGLISH_ANSWERS: Final = (
    *(_quiet(f"English passage {i}", text, "English asked, English answered.") for i, text in enumerate(ENGLISH)),
    *(
        _quiet(
            f"{code} asked, English answered", ANSWERS[i % 6], "English is allowed by default.", SPOKEN[code].question
        )
        for i, code in enumerate(("zh", "ru", "ar", "fr", "hi"))
    ),
)

# ----------------------------------------------------------------------------------- symbols, names, loans, code
SYMBOLS: Final = (
    _quiet("sets", "Let f: ℝⁿ → ℝ be smooth, ε > 0 and δ = ε/2. For every x ∈ K ⊂ ℂ, ‖f(x)‖ ≤ Σ αᵢ and ∂f/∂x ≠ 0; hence ∀x ∃y with ∇f(y) = 0.", "Mathematics in Unicode."),
    _quiet("mathematical letters", "Write 𝑥 = 𝑎 + 𝑏𝑖 with 𝑎, 𝑏 ∈ ℚ, let 𝔤 be the Lie algebra and 𝓕 the sheaf, so that 𝐀𝐯 = λ𝐯.", "Letters of the mathematical block are Latin."),
    _quiet("aleph", "The cardinality of the rationals is ℵ₀, and under the continuum hypothesis that of the reals is ℵ₁ = 2^ℵ₀.", "A symbol, not Hebrew."),
    _quiet("Sha", "The Tate-Shafarevich group Ш(E/ℚ) is conjectured to be finite, and its order is then a perfect square.", "One Cyrillic letter that mathematicians use."),
    _quiet("units", "A 4.7 kΩ resistor, 10 µF, 20 Å and 37 °C; the price is ₽300, ¥500 or 4 €, article № 12.", "Units and currencies."),
    _quiet("arrows and boxes", "Input → filter ⇒ output ✔\n┌────┬────┐\n│ a  │ b  │\n└────┴────┘\nDone ★★★☆☆ ♫ ☂ ♞", "Symbols have no language."),
    _quiet("full-width point", "So the answer is 12。 Next, we compute the remainder， which is 3.", "Punctuation is no language."),
    _quiet("phonetics", "In British English 'water' is pronounced /ˈwɔːtə/, while most Americans say /ˈwɑːɾɚ/, with a tap.", "Phonetic letters."),
    _quiet("Greek in physics", "The photon energy is E = hν, the wavelength λ = c/ν, and the phase shift Δφ equals 2πΔx/λ plus a constant φ₀.", "Single letters."),
    _quiet("chi-squared", "The χ² test with 3 degrees of freedom gives p = 0.02, and Cronbach's α is 0.81, while η² is small.", "Single letters in statistics."),
    _quiet("LaTeX text in Han", "The locus is $\\text{圆}$ in the original, which we call the circle $C$ from here on.", "What stands in LaTeX is markup."),
    _quiet("Yoneda in LaTeX", "Write $よ(X)$ for the functor represented by $X$; it is fully faithful by the Yoneda lemma.", "A kana that mathematicians use."),
    _quiet("chemical names", "2-Methylpropan-2-ol reacts with sodium hydride; (E)-but-2-enedioic acid melts at 287 °C; N,N-dimethylformamide was the solvent.", "Nomenclature."),
    _quiet("formulas only", "x = 3, y = 4, z = 5, x² + y² = z², 3² + 4² = 9 + 16 = 25 = 5², QED", "Hardly a word in it."),
    _quiet("matrix", "[[1, 0, 2], [0, 1, 3]] * [a, b, c]^T = [a + 2c, b + 3c]^T, det = 0, rank = 2, tr(AB) = tr(BA)", "Hardly a word in it."),
)  # fmt: skip
NAMES: Final = (
    _quiet("mathematicians", "Results by Gödel, Erdős, Łukasiewicz, Poincaré, Hölder, Čech, Šafarevič, Nguyễn and Ångström are used without proof.", "Diacritics are no other language."),
    _quiet("works", "Verdi's La traviata, Mozart's Die Zauberflöte and Le nozze di Figaro, and Rossini's Il barbiere di Siviglia fill houses everywhere.", "Titles."),
    _quiet("places", "We drove from São Paulo to Rio de Janeiro, then on to Belo Horizonte, Ouro Preto and Foz do Iguaçu on the border.", "Place names."),
    _quiet("institutions", "The Bundesverfassungsgericht in Karlsruhe, the Conseil d'État in Paris and the Corte Suprema di Cassazione in Rome differ in scope.", "Names of courts."),
    _quiet("list of names", "Participants: Nguyễn Văn An, Zhāng Wěi, Sørensen, Müller, O'Brien, González, Kowalski, Öztürk, Ivanović, Papadopoulos.", "A list of persons."),
    _quiet("brands in Russian", "Для этой задачи подойдут Docker и Kubernetes, а логи удобно собирать в Elasticsearch или отправлять прямо в Grafana Cloud.", "Product names in a Russian text.", SPOKEN["ru"].question),
    _quiet("terms in Korean", "먼저 GitHub에서 repository를 clone한 다음 Python 가상 환경을 만들고 requirements.txt에 있는 패키지를 설치하세요.", "English terms in a Korean text.", SPOKEN["ko"].question),
    _quiet("hanja in parentheses", "우리나라의 정식 명칭은 대한민국(大韓民國)이며, 수도는 서울입니다.", "Korean explains itself in Han.", SPOKEN["ko"].question),
    _quiet("katakana", "コンピューターのメモリーが足りないときは、使っていないアプリケーションを終了してください。", "Loan words in kana.", SPOKEN["ja"].question),
    _quiet("kanji headline", "東京証券取引所、午前終値大幅上昇。政府、経済対策最終案決定。", "A headline without kana but one.", SPOKEN["ja"].question),
    _quiet("numbers in Arabic", "تبلغ مساحة الحديقة ١٢٥٠ مترا مربعا، أي ما يعادل 0.125 هكتار تقريبا، ويزورها نحو 300 شخص يوميا.", "Two kinds of digits.", SPOKEN["ar"].question),
    _quiet("variables in Chinese", "设 f(x) = sin x + cos x，则 f'(x) = cos x - sin x。令 f'(x) = 0，得 x = π/4 + kπ，其中 k ∈ ℤ。", "Formulas in a Chinese text.", SPOKEN["zh"].question),
    _quiet("traditional answer", SPOKEN["zh-Hant"].answer, "The other spelling of the same language.", SPOKEN["zh"].question),
)  # fmt: skip
LOANS: Final = (
    _quiet("German loans", "There is a certain Schadenfreude in the Weltanschauung of the Wunderkind, and his angst is the leitmotif of the novel.", "Loan words."),
    _quiet("Latin of logic", "By modus ponens, and mutatis mutandis for q; the rest follows by reductio ad absurdum, ceteris paribus, quod erat demonstrandum.", "Terms of art."),
    _quiet("music", "The andante con moto is followed by an allegro ma non troppo, with a pizzicato passage marked piano e dolce, sempre legato.", "Terms of art."),
    _quiet("ballet", "From fifth position she does a plié, a relevé and a grand jeté en tournant, and closes with a rond de jambe en l'air.", "Terms of art."),
    _quiet("Italian menu", "We shared bruschetta al pomodoro, spaghetti alle vongole, osso buco alla milanese and a panna cotta with frutti di bosco.", "A menu."),
    _quiet("Spanish song line", "As the old song says, que sera, sera; whatever will be, will be, and nobody can tell us more than that.", "A phrase."),
    _quiet("one French phrase", "She shrugged and said c'est la vie, mon ami, then went on with her knitting as if nothing had happened.", "Far below 120 characters."),
    _quiet("Shakespearean", "Thou art more lovely, quoth he, and I do thee no wrong; wherefore dost thou weep, and whither goest thou this eventide?", "Old English is English."),
    _quiet("Scots words", "The wee bairn wouldnae eat his porridge, so his gran gied him a bannock and telt him tae haud his wheesht.", "A dialect in an English story.", "Write one line in Scots dialect."),
    _quiet("Latin names of plants", "Along the path grow Bellis perennis, Taraxacum officinale, Urtica dioica, Plantago lanceolata and Achillea millefolium.", "Nomenclature."),
    _quiet("mottos", "The coins read 'E pluribus unum' and 'Annuit coeptis'; the seal of the state says 'Sic semper tyrannis'.", "Quoted mottos."),
    _quiet("transliterated Arabic", "The greeting as-salāmu ʿalaykum is answered wa ʿalaykumu s-salām, and the farewell is maʿa s-salāma.", "Transliteration.", "How do people greet each other in Arabic? Use Latin letters."),
    _quiet("romaji", "The sentence watashi wa gakusei desu means 'I am a student'; watashi is the pronoun, wa marks the topic, and desu is the copula.", "Transliteration.", "Explain a simple Japanese sentence in romaji."),
    _quiet("Sanskrit", "The terms dharma, karma, saṃsāra and mokṣa recur in the Upaniṣads; ātman and brahman are said to be one.", "Terms of art."),
    _quiet("scrambled", "The cipher text is oyfjdnisdr rtqwainr acxz mynzbeigwz, so I pair the letters: oy is T, fj is H, dn is I, is is N, dr is K.", "Letters without a language."),
    _quiet("ROT13", "Applying ROT13 to 'Gur dhvpx oebja sbk whzcf bire gur ynml qbt' gives 'The quick brown fox jumps over the lazy dog'.", "Letters without a language."),
    _quiet("anagrams", "From 'listen' we get enlist, inlets, silent, tinsel; other strings such as tsilen, netlis, slinet, ilnest are not words.", "Letters without a language."),
    _quiet("protein", "The peptide is MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQ and it folds quickly.", "Letters without a language."),
    _quiet("lorem ipsum", "Here is the template:\n\nLorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation.", "The placeholder that was asked for.", "Make a page template with lorem ipsum as the text."),
    _quiet("nonsense verse", "Twas brillig, and the slithy toves did gyre and gimble in the wabe; all mimsy were the borogoves, and the mome raths outgrabe.", "Made-up English."),
    _quiet("scat", "Doo-wop, shoo-be-doo-be-doo, bah dah bap, skee-bop-a-loo-bop, hey nonny nonny, tra la la la la.", "Sung syllables."),
)  # fmt: skip
CODE: Final = (
    _quiet("comments in a fence", "Here is the function:\n\n```python\n# 计算两个数的最大公约数，然后返回结果\ndef gcd(a, b):\n    while b:\n        a, b = b, a % b  # 交换\n    return a\n```\n\nIt is Euclid's algorithm.", "Code is no prose."),
    _quiet("open fence", "Here is the table:\n```yaml\ngreeting: Guten Tag, wie geht es Ihnen heute Morgen, mein lieber Freund\nanswer: Danke der Nachfrage, es geht mir ganz ausgezeichnet", "A fence that is still open."),
    _quiet("shell", "sudo apt-get install -y libxml2-dev && ./configure --prefix=/usr/local --enable-shared && make -j4 && sudo make install", "Commands."),
    _quiet("SQL", "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.uid = u.id GROUP BY u.id HAVING n > 3 ORDER BY n DESC LIMIT 10;", "Commands."),
    _quiet("regular expression", "Use the pattern `[\\u4e00-\\u9fff]+` or `[一-龥]+` to match Chinese characters in the input.", "An expression in backticks."),
    _quiet("HTML tag", 'Set <html lang="ja" title="日本語のページ"> on the page so that screen readers choose the right voice.', "Tags are markup."),
    _quiet("mail and link", "Write to пример@почта.рф or see https://例え.テスト/メイン?ページ=一 for the specification of such names.", "Addresses."),
    _quiet("stack trace", "java.lang.NullPointerException: at com.example.app.UserDao.findById(UserDao.java:42) at com.example.app.Main.main(Main.java:7)", "A trace."),
    _quiet("camel case", "The getSalidaTotal and setPrecioUnitario methods of ClienteRepositorio call calcular_impuesto before guardarPedido.", "Identifiers in Spanish."),
    _quiet("hex and hashes", "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, uuid 6fa459ea-ee8a-3ca4-894e-db77e160355e", "Letters without a language."),
)  # fmt: skip

# ------------------------------------------------------------------------------------- what the prompt asked for
ASKED: Final = (
    _quiet("into French", "Here is the translation:\n\n" + SPOKEN["fr"].answer, "French was asked for.", "Translate this text into French: To sleep better, go to bed at regular hours, even on Sundays."),
    _quiet("into Japanese", "日本語訳は次のとおりです。「" + SPOKEN["ja"].answer + "」", "Japanese was asked for.", "Translate into Japanese: Leftover vegetables make a good soup."),
    _quiet("into Arabic", SPOKEN["ar"].answer, "Arabic was asked for.", "How should I care for house plants in summer? Answer in Arabic."),
    _quiet("respond in German", SPOKEN["de"].answer, "German was asked for.", "Why do leaves turn red in autumn? Respond in German, please."),
    _quiet("good morning", "In Korean you say 좋은 아침이에요 (joeun achimieyo), or simply 안녕하세요 at any hour.", "A word of Korean was asked for.", "How do you say 'good morning' in Korean?"),
    _quiet("haiku", "Here is a haiku:\n\n古池や\n蛙飛びこむ\n水の音\n\nIt is the best known poem of its kind.", "Japanese was asked for.", "Quote a famous haiku in Japanese and comment on it in English."),
    _quiet("Russian vocabulary", "| English | Russian |\n|---|---|\n| house | дом |\n| river | река |\n| bread | хлеб |\n| winter | зима |", "Russian was asked for.", "Make a table of four English words and their Russian translations."),
    _quiet("meaning of a word", "因此 means 'therefore'. It joins a cause and its effect, and 因此 usually opens the second clause.", "The word stands in the prompt.", "What does 因此 mean in English?"),
    _quiet("summary of Russian", "The text says that the word ось means the axis on which the Earth turns, and that winter days are short because of its tilt.", "Its language is that of the text to sum up.", "Summarise in English: " + SPOKEN["ru"].answer),
    _quiet("Portuguese asked in Spanish", SPOKEN["pt"].answer, "Portuguese was asked for, in Spanish.", "Explica en portugués cómo se aprende a nadar de adulto."),
    _quiet("English asked in French", ANSWERS[1], "English was asked for, in French.", "Répondez en anglais : comment le vélo est-il né ?"),
    _quiet("Chinese names of dishes", "Order mapo tofu (麻婆豆腐), twice-cooked pork (回锅肉) and a bowl of dan dan noodles (担担面).", "Names were asked for with characters.", "Name three Sichuan dishes with their Chinese names in characters."),
    _quiet("bilingual answer", SPOKEN["es"].answer + "\n\n" + ANSWERS[0], "Both languages were asked for.", "Explain in Spanish and then in English why bread goes stale."),
    _quiet("Hinglish", "Aap subah jaldi utho, thoda paani piyo aur phir das minute walk karo. Isse din bhar energy rehti hai aur mood bhi achha rehta hai.", "The user writes like that.", "Bhai, subah fresh feel karne ke liye kya karna chahiye? Simple tips do."),
    _quiet("code switching user", "Claro, primero necesitas guardar el file y luego hacer un commit; after that you can push it to your branch.", "The user mixes them too.", "Oye, how do I save my changes in git? Explícame in simple words, por favor."),
    _quiet("quoted source", 'The abstract ends with the words "por lo que la respuesta es cuarenta", which matches the table.', "A short quotation from the prompt.", "Check this abstract: 'Se suman los precios, por lo que la respuesta es cuarenta.'"),
    _quiet("Hebrew letters asked", "The first letters are א (alef), ב (bet), ג (gimel) and ד (dalet), each with a number.", "Letters were asked for.", "List the first four letters of the Hebrew alphabet."),
    _quiet("etymology", "The word 'philosophy' goes back to φιλοσοφία, from φίλος (friend) and σοφία (wisdom).", "Greek words were asked for.", "What is the Greek origin of the word philosophy? Give the Greek spelling."),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------- leaks
LEAKS: Final = (
    _leak("therefore in Han", "The two angles are equal, ⟦所以 the triangle is isosceles and the base is 6.", "A connective.", ("zh", "Han")),
    _leak("one Han character", "The ⟦总 number of handshakes is 45, which agrees with the formula.", "One character is enough.", ("zh", "Han")),
    _leak("verb in Han", "Now we need to ⟦计算 the determinant of the matrix, which is 7.", "A verb.", ("zh", "Han")),
    _leak("particle glued on", "This function⟦的 value at zero is 3, so the graph crosses the axis there.", "No blank between the scripts.", ("zh", "Han")),
    _leak("Han at the start", "⟦好的, let me explain how the heart pumps blood through the body.", "At the very beginning.", ("zh", "Han")),
    _leak("Han at the end", "Adding both amounts, the family pays 31 dollars in ⟦总计", "At the very end.", ("zh", "Han")),
    _leak("Han in bold", "The most important step is **⟦归纳** on the number of vertices, as shown above.", "Markdown does not hide it.", ("zh", "Han")),
    _leak("Han in a table", "| step | result |\n|---|---|\n| first | 12 |\n| ⟦第二 | 15 |\n| third | 18 |", "A cell.", ("zh", "Han")),
    _leak("Han in a bullet", "- Preheat the oven.\n- Mix flour and eggs.\n- ⟦加入 the butter slowly.\n- Bake for an hour.", "A bullet.", ("zh", "Han")),
    _leak("Han in a heading", "# Summary\n\nAll is well.\n\n## ⟦结论\n\nThe method works for all even n.", "A heading.", ("zh", "Han")),
    _leak("Han after a fence", "```python\nprint(1)\n```\nThe ⟦输出 is the number one, followed by a newline.", "The fence is closed.", ("zh", "Han")),
    _leak("Han after prices", "A ticket is $5 and a drink is $3, so two of ⟦每个 cost $16 in total.", "Dollars are no LaTeX.", ("zh", "Han")),
    _leak("Han after a quote", '"Never mind," she said, and took the ⟦钥匙 from the hook by the door.', "The quotation is closed.", ("zh", "Han")),
    _leak("Han with a China prompt", "The Great Wall was extended under the Ming ⟦朝代 to keep riders out.", "A Chinese subject is no request for Chinese.", ("zh", "Han"), "Who built the Great Wall of China, and why?"),
    _leak("copula in Japanese", "The result is twelve ⟦です, because three times four is twelve.", "A Japanese ending.", ("ja", "Hiragana", "Kana")),
    _leak("katakana word", "You should check the ⟦エラー message in the log before you restart the server.", "A Japanese word.", ("ja", "Katakana", "Kana")),
    _leak("so in Korean", "Both numbers are even, ⟦그래서 their sum is even as well.", "A Korean connective.", ("ko", "Hangul")),
    _leak("value in Russian", "We compute the ⟦значение of the integral by substitution and get 4.", "A Russian noun.", ("ru", "Cyrillic")),
    _leak("two Russian letters", "The second step ⟦не depends on the first, so we may skip it.", "Two letters of Cyrillic.", ("ru", "Cyrillic")),
    _leak("half a Russian word", "The con⟦вергенция of the series follows from the ratio test.", "A word that changes script midway.", ("ru", "Cyrillic")),
    _leak("result in Arabic", "After simplifying we see that ⟦النتيجة is 15, as expected.", "An Arabic noun.", ("ar", "Arabic")),
    _leak("but in Hebrew", "The first equation holds, ⟦אבל the second one fails for x = 0.", "A Hebrew connective.", ("he", "Hebrew")),
    _leak("because in Hindi", "The ball falls back ⟦क्योंकि gravity pulls it towards the ground.", "A Hindi connective.", ("hi", "Devanagari")),
    _leak("answer in Thai", "Putting everything together, the ⟦คำตอบ is 24 square metres.", "A Thai noun.", ("th", "Thai")),
    _leak("therefore in Greek", "All three sides are equal, ⟦επομένως the triangle is equilateral.", "A Greek word is no symbol.", ("el", "Greek")),
    _leak("Georgian", "The recipe needs two spoons of ⟦შაქარი and a cup of milk.", "A script that is seldom seen.", ("ka", "Georgian")),
    _leak("Armenian", "He opened the ⟦դուռ and stepped out into the rain.", "A script that is seldom seen.", ("hy", "Armenian")),
    _leak("Tamil", "The river flows ⟦வழியாக the old town and into the bay.", "A script that is seldom seen.", ("ta", "Tamil")),
    _leak("Bengali in Hindi", "सुबह टहलने से मन शांत रहता है और ⟦শরীর भी स्वस्थ रहता है।", "Two scripts of India.", ("bn", "Bengali"), SPOKEN["hi"].question),
    _leak("Russian in Chinese", "我们先求出函数的⟦производная，然后令它等于零。", "Cyrillic in a Chinese text.", ("ru", "Cyrillic"), SPOKEN["zh"].question),
    _leak("Korean in Japanese", "まず材料を細かく切り、⟦그리고 鍋に入れて弱火で煮ます。", "Hangul in a Japanese text.", ("ko", "Hangul"), SPOKEN["ja"].question),
    _leak("Thai in Japanese", "この問題の⟦คำตอบ は十二になります。", "Thai in a Japanese text.", ("th", "Thai"), SPOKEN["ja"].question),
    _leak("Han in Russian", "Поэтому число делится на три, ⟦因此 ответ равен двенадцати.", "Han in a Russian text.", ("zh", "Han"), SPOKEN["ru"].question),
    _leak("Han in Arabic", "مجموع الزوايا في المثلث ⟦等于 مئة وثمانون درجة.", "Han in an Arabic text.", ("zh", "Han"), SPOKEN["ar"].question),
    _leak("Han in Spanish", "El precio total es la suma de los dos, ⟦所以 la familia paga treinta euros.", "Han in a Spanish text.", ("zh", "Han"), SPOKEN["es"].question),
    _leak("Han in Korean", "두 수의 합은 짝수이고 ⟦因此 답은 십이입니다.", "A Chinese connective in a Korean text.", ("zh", "Han"), SPOKEN["ko"].question),
    _leak("Cyrillic in German", "Die Blätter verlieren ihren Farbstoff, ⟦потому dass die Tage kürzer werden.", "Cyrillic in a German text.", ("ru", "Cyrillic"), SPOKEN["de"].question),
    _leak("Han in Vietnamese", "Sau đó cho thịt bò vào nồi và ⟦加入 một ít muối.", "Han in a Vietnamese text.", ("zh", "Han"), SPOKEN["vi"].question),
    LanguageCase("Han in a thought", "Wait, the second root is negative, ⟦但是 the problem wants a length, so only 5 is left.", "leak", "It is a leak in the thinking too.", ("zh", "Han"), _EN, Channel.REASONING),
    LanguageCase("late in a long thought", "\n\n".join(REASONING) + "\n\nSo the ⟦最终 answer is 686.", "leak", "After three thousand clean characters.", ("zh", "Han"), _EN, Channel.REASONING),
    LanguageCase("two leaks", "The ⟦面积 of the square is 9. " + REASONING[1] + " Hence its 周长 is 12.", "leak", "The first of two.", ("zh", "Han"), _EN),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------ switches
_SCRIPTS: Final = ("zh", "zh-Hant", "ja", "ko", "ru", "uk", "bg", "el", "ar", "fa", "he", "hi", "th")
_LATIN: Final = ("es", "pt", "fr", "de", "it", "nl", "pl", "cs", "sv", "nb", "tr", "vi", "id", "hr", "fi", "ro", "hu")
_PAIRS: Final = (
    ("zh", "ja"), ("zh", "ko"), ("zh", "ru"), ("ja", "zh"), ("ja", "ko"), ("ko", "ja"), ("ko", "zh"), ("ru", "zh"),
    ("ru", "uk"), ("ar", "fa"), ("ar", "he"), ("hi", "th"), ("es", "zh"), ("es", "pt"), ("es", "fr"), ("fr", "es"),
    ("de", "nl"), ("it", "ro"), ("pl", "cs"), ("fi", "hu"), ("vi", "th"), ("sv", "de"), ("tr", "ar"), ("id", "vi"),
)  # fmt: skip


def _close(a: str, b: str) -> tuple[str, ...]:
    """How a switch from `a` may be named: within one script only by the language."""
    if (a, b) == ("zh", "ja"):
        return ("ja", "Hiragana", "Katakana", "Kana")
    same_script = {a, b} in ({"ru", "uk"}, {"ar", "fa"}) or (a, b) == ("ja", "zh")
    return (b,) if same_script else _names(b)


SWITCHES: Final = (
    *(
        LanguageCase(f"English to {code}", f"{ENGLISH[i % 12]} {ONSET}{SPOKEN[code].answer}", "switch",
                     "A whole paragraph nobody asked for.", _names(code), _EN)
        for i, code in enumerate(_SCRIPTS + _LATIN)
    ),
    *(
        LanguageCase(f"{a} to {b}", f"{SPOKEN[a].answer} {ONSET}{SPOKEN[b].answer}", "switch",
                     "A whole paragraph nobody asked for.", _close(a, b), SPOKEN[a].question)
        for a, b in _PAIRS
    ),
    *(
        LanguageCase(f"{code} to English", f"{SPOKEN[code].answer} {ONSET}{ANSWERS[i % 6]}", "switch",
                     "English is not allowed here.", ("en", "Latin"), SPOKEN[code].question, settings=_STRICT)
        for i, code in enumerate(("zh", "ja", "ko", "ru", "ar", "hi", "fr", "es", "de"))
    ),
    *(
        LanguageCase(f"{a} asked, {b} answered", ONSET + SPOKEN[b].answer, "switch", "Wrong from the first word.",
                     _close(a, b), SPOKEN[a].question)
        for a, b in (("ja", "zh"), ("zh", "ru"), ("es", "it"), ("ko", "ja"), ("uk", "ru"), ("fr", "de"), ("he", "ar"))
    ),
    LanguageCase("English asked, French answered", ONSET + SPOKEN["fr"].answer, "switch", "Wrong from the first word.", ("fr",), _EN),
    LanguageCase("English asked, Chinese answered", ONSET + SPOKEN["zh"].answer, "switch", "Wrong from the first word.", ("zh", "Han"), _EN),
    LanguageCase("asked for Japanese, gives Korean", ONSET + SPOKEN["ko"].answer, "switch", "Not the language asked for.", ("ko", "Hangul"), "Translate into Japanese: A walk through the old town is nice."),
    LanguageCase("asked for French, gives Spanish", ONSET + SPOKEN["es"].answer, "switch", "Not the language asked for.", ("es",), "Why does bread go stale? Answer in French."),
    LanguageCase("after a fence", "Run this:\n\n```sh\nmake test\n```\n\n⟦然后检查输出是否正确，如果有错误就重新编译整个项目，再运行一次所有的测试。", "switch", "The fence is closed.", ("zh", "Han"), _EN),
    LanguageCase("there and back", REASONING[0] + " ⟦因此我们还需要检查边界条件，看看是否所有的情况都已经考虑到了。 " + REASONING[1], "switch", "Thirty characters are a switch, even if it returns.", ("zh", "Han"), _EN),
    LanguageCase("in the thinking", REASONING[2] + "\n\n⟦让我再验证一下这个结果，从九只袜子里取三只，总共有八十四种取法，颜色全不相同的有二十四种。", "switch", "Reported in the thinking too.", ("zh", "Han"), _EN, Channel.REASONING),
    LanguageCase("list in Russian", "Things to pack:\n\n- a warm jacket\n- two shirts\n- ⟦тёплые носки и перчатки\n- фонарик и запасные батарейки\n- карта местности\n- спички в сухой коробке\n", "switch", "A list that changes midway.", ("ru", "Cyrillic"), _EN),
    LanguageCase("table in Korean", "| item | note |\n|---|---|\n| tea | hot |\n| ⟦커피 | 너무 뜨거우니 조심해서 마셔야 합니다 |\n| 우유 | 냉장고에 넣어 두어야 상하지 않습니다 |\n", "switch", "A table that changes midway.", ("ko", "Hangul"), _EN),
    LanguageCase("around code", ANSWERS[3] + "\n\n⟦Para insertar una clave nueva se calcula primero su posición con la función `hash(k) % n` y después se recorre la lista de esa casilla hasta encontrar un hueco libre o la misma clave.", "switch", "Code in the middle does not hide it.", ("es",), _EN),
    LanguageCase("poem in Italian", "Here is your poem about the sea:\n\n⟦Il mare di notte respira piano,\nla luna cammina sull'acqua scura,\nun vecchio saluta con la mano\nla barca che torna senza paura,\ne tutte le stelle, da lontano,\nle fanno da porto e da misura.\n", "switch", "The poem was asked for in English.", ("it",), "Write a poem in English about the sea at night."),
    LanguageCase("dialogue in German", ANSWERS[4] + "\n\n⟦Das Mädchen schwieg eine Weile und blickte auf die Uhr, die nun wirklich zu ticken schien. Draußen hatte es angefangen zu schneien, und die Straße war leer bis auf einen Hund, der vor der Bäckerei wartete.", "switch", "The story changes language.", ("de",), "Continue this story in English."),
    LanguageCase("Latin in Thai", SPOKEN["th"].answer + " ⟦Además conviene beber un vaso de agua antes de cada comida y llevar siempre una botella pequeña, porque muchas veces confundimos la sed con el hambre.", "switch", "Spanish in a Thai text.", ("es", "Latin"), SPOKEN["th"].question),
)  # fmt: skip

CASES: Final = (
    *NATIVE, *ENGLISH_ANSWERS, *SYMBOLS, *NAMES, *LOANS, *CODE, *ASKED, *LEAKS, *SWITCHES
)  # fmt: skip
