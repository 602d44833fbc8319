"""The language strings of the description's section 9 and of the prototype's own edge file, as table rows."""
# ruff: noqa: E501 - rows are kept whole

from __future__ import annotations

from typing import Final

from tests.detectors.edges.case import LanguageCase
from tests.detectors.edges.passages import SPOKEN

_WHY: Final = "Section 9 of the description."
_ENGLISH: Final = "Please answer the following question and explain each step of your reasoning."
_STRICT: Final[dict[str, list[str]]] = {"allow": []}


def _prompt(code: str) -> str:
    return _ENGLISH if code == "en" else SPOKEN[code].question


QUIET: Final = tuple(
    LanguageCase(name, text, "quiet", _WHY, prompt=_prompt(code))
    for name, code, text in (
        (
            "Greek letters",
            "en",
            "Let α and β be the roots, so α + β = −p and αβ = q. Then Σ x_i ≤ π/2 and Δ > 0 for all θ.",
        ),
        (
            "LaTeX of four kinds",
            "en",
            "We have $\\sin\\theta = \\frac{a}{b}$ and \\[ \\int_0^1 f(x)\\,dx = \\sum_{n} a_n \\] which gives \\(\\cos x\\) and $$\\begin{aligned} x &= y \\\\ z &= w\\end{aligned}$$ as required by the problem.",
        ),
        (
            "fenced Spanish",
            "en",
            'Here is the translation table:\n```json\n{"saludo": "Hola, ¿cómo estás hoy? Espero que muy bien, mi querido amigo"}\n```\nUse it as you like.',
        ),
        ("inline code", "en", "Use the key `用户名` and the value `密码` in the config file to make it work."),
        (
            "quoted character",
            "en",
            'The character "道" (dào) is often translated as "the way" in English philosophical texts.',
        ),
        (
            "writers",
            "en",
            "Gabriel García Márquez, Jorge Luis Borges, Pablo Neruda and Julio Cortázar were major Latin American writers. Johann Wolfgang von Goethe and Friedrich Schiller lived in Weimar.",
        ),
        (
            "French loans",
            "en",
            "The raison d'être of the project, its joie de vivre and a certain je ne sais quoi, made it a fait accompli and the zeitgeist approved.",
        ),
        (
            "legal Latin",
            "en",
            "The doctrine of res judicata, stare decisis and mens rea are applied; habeas corpus ad subjiciendum was granted, et cetera.",
        ),
        (
            "species",
            "en",
            "Species include Escherichia coli, Drosophila melanogaster, Saccharomyces cerevisiae and Caenorhabditis elegans, which are all model organisms.",
        ),
        (
            "Cyrillic URL",
            "en",
            "See https://ru.wikipedia.org/wiki/Заглавная_страница for more details on this topic and its history.",
        ),
        ("emoji", "en", "Great job! 🎉🎉🎉 ¡! ¿? 👍👍 You did it — 100% ✓✓✓"),
        (
            "list of greetings",
            "en",
            "Hello in other languages: Hola (Spanish), Bonjour (French), Guten Tag (German), Ciao (Italian), Olá (Portuguese), Merhaba (Turkish).",
        ),
        (
            "French food",
            "en",
            "For dinner we had coq au vin, crème brûlée, pain au chocolat and a bottle of Châteauneuf-du-Pape at the café.",
        ),
        (
            "sin cos",
            "en",
            "sin cos tan sin cos tan log ln exp sin sin sin cos cos tan sec csc cot lim max min mod gcd lcm det",
        ),
        ("la la", "en", "la la la la la la la la na na na na hey hey hey goodbye la la la la"),
        (
            "capitals",
            "en",
            "WARNING: DO NOT RUN THIS COMMAND AS ROOT UNLESS YOU KNOW WHAT YOU ARE DOING AND HAVE A BACKUP OF ALL FILES",
        ),
        (
            "identifiers",
            "en",
            "Call getUserName() then set_user_id(x) and HTMLParser.feed(data) on obj.attr_name; kubectl get pods -n kube-system; chmod +x run.sh",
        ),
        (
            "reactions",
            "en",
            "The reaction CH3COOH + NaOH -> CH3COONa + H2O proceeds; then KMnO4 oxidises FeSO4 in dilute H2SO4 to Fe2(SO4)3.",
        ),
        (
            "pinyin",
            "en",
            "In pinyin the sentence is nǐ hǎo ma, wǒ hěn hǎo, xiè xie, and it is pronounced with four tones.",
        ),
        ("boxed Han", "en", "Therefore the final answer is \\boxed{\\text{北京}} as required by the question."),
        (
            "long kanji compound",
            "ja",
            "東京都千代田区霞が関にある経済産業省資源エネルギー庁は、新しい再生可能エネルギー政策を発表しました。国際連合安全保障理事会常任理事国も同様です。",
        ),
        (
            "pandas in Chinese",
            "zh",
            "我们可以使用 Python 的 pandas 库来处理 DataFrame，然后调用 groupby 和 merge 函数完成数据分析，最后用 matplotlib 画图。",
        ),
        (
            "traditional characters",
            "zh",
            "我們需要考慮這個問題的所有可能情況，因為它們之間的關係非常複雜，所以必須仔細分析。",
        ),
        (
            "Croatian",
            "hr",
            "Trebamo razmotriti sve moguće slučajeve ovog problema jer je odnos između njih vrlo složen, pa ga moramo pažljivo analizirati.",
        ),
    )
)

SAID: Final = (
    LanguageCase(
        "translation asked",
        "The Spanish translation is: El gato duerme en la silla mientras la lluvia cae sobre la ciudad.",
        "quiet",
        _WHY,
        prompt="Translate into Spanish: The cat sleeps on the chair while the rain falls on the city.",
    ),
    LanguageCase(
        "one Han word",
        "So the total number of ways is 12. ⟦因此 the answer is 12 and we are done here.",
        "leak",
        _WHY,
        ("zh", "Han"),
        _ENGLISH,
    ),
    LanguageCase(
        "one Russian word",
        "Now the probability of this ⟦событие is one half, so we multiply by two and get one.",
        "leak",
        _WHY,
        ("ru", "Cyrillic"),
        _ENGLISH,
    ),
    LanguageCase(
        "Chinese sentence",
        "Let me compute the derivative first. ⟦首先我们对函数求导，然后令导数等于零，得到极值点。 So x = 2.",
        "switch",
        _WHY,
        ("zh", "Han"),
        _ENGLISH,
    ),
    LanguageCase(
        "Russian sentence",
        "Let me check the result. ⟦Теперь нужно проверить, что сумма всех вероятностей равна единице, иначе ответ неверен.",
        "switch",
        _WHY,
        ("ru", "Cyrillic"),
        _ENGLISH,
    ),
    LanguageCase(
        "Japanese sentence",
        "The answer should be 5. ⟦しかし、この場合は条件を満たさないので、別の方法を考える必要があります。",
        "switch",
        _WHY,
        ("ja", "Kana", "Hiragana"),
        _ENGLISH,
    ),
    LanguageCase(
        "Korean sentence",
        "The answer should be 5. ⟦그러나 이 경우에는 조건을 만족하지 않으므로 다른 방법을 생각해야 합니다.",
        "switch",
        _WHY,
        ("ko", "Hangul"),
        _ENGLISH,
    ),
    LanguageCase(
        "Spanish sentence",
        "First we compute the total cost of the trip. ⟦Entonces el costo total del viaje es la suma de los precios de cada uno de los boletos, por lo que la respuesta es cuarenta.",
        "switch",
        _WHY,
        ("es",),
        _ENGLISH,
    ),
    LanguageCase(
        "Japanese to Chinese",
        "まず問題を整理します。次に式を立てます。⟦然后我们需要考虑这个问题的所有可能情况，因为它们之间的关系很复杂。",
        "switch",
        _WHY,
        ("zh",),
        _prompt("ja"),
    ),
    LanguageCase(
        "Chinese to English",
        "首先，我们需要理解这个问题。⟦But then we should also consider the case where the number is negative, because the answer changes completely.",
        "switch",
        _WHY,
        ("en", "Latin"),
        _prompt("zh"),
        settings=_STRICT,
    ),
    LanguageCase(
        "Russian to Ukrainian",
        "Давайте рассмотрим эту задачу подробнее и найдём решение. ⟦Тепер нам потрібно знайти всі можливі значення цієї змінної, щоб відповісти на запитання.",
        "switch",
        _WHY,
        ("uk",),
        _prompt("ru"),
    ),
    LanguageCase(
        "Spanish to Portuguese",
        "Vamos a analizar el problema con cuidado y encontrar la solución. ⟦Agora precisamos encontrar todos os valores possíveis da variável para responder à pergunta, porque não é possível fazer isso de outra maneira e as condições são muito fortes.",
        "switch",
        _WHY,
        ("pt",),
        _prompt("es"),
    ),
    LanguageCase(
        "unclosed dollar",
        "It costs $5 for adults and $3 for children, so the family pays less. ⟦然后我们计算总费用，得到最终的答案。",
        "switch",
        _WHY,
        ("zh", "Han"),
        _ENGLISH,
    ),
    LanguageCase(
        "unclosed quote",
        'He said "this is fine and left. ⟦然后我们计算总费用，得到最终的答案，这就是结果。',
        "switch",
        _WHY,
        ("zh", "Han"),
        _ENGLISH,
    ),
)

CASES: Final = QUIET + SAID
"""Without the prototype's "homoglyph" row, of which it says itself that it does not know what it wants."""
