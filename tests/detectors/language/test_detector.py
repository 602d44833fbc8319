from __future__ import annotations

import pytest

from detectors.language import Language, LanguageSettings
from guard.contract import STOP, WARN, Channel, Context, DetectorError, Finding, Lane
from guard.testing import assert_detector_contract, scan

DETECTOR = Language("language", LanguageSettings())
ENGLISH = "Which is the smallest number of apples that the family can share? Please think about it step by step."
LANE = Lane(0, Channel.CONTENT)


def only(languages: str) -> Language:
    return Language("language", LanguageSettings(expect=tuple(languages.split()), allow=()))


def found(text: str, expect: str = "en") -> list[Finding]:
    return [finding for _, finding in scan(only(expect), text)]


EXPECTED: dict[str, tuple[str, str]] = {
    "Greek letters": (
        "en",
        "Let α and β be the roots, so α + β = −p and αβ = q. Then Σ x_i ≤ π/2 and Δ > 0 for all θ. The area is 2πr².",
    ),
    "LaTeX": (
        "en",
        "We have $\\sin\\theta = \\frac{a}{b}$ and \\[ \\int_0^1 f(x)\\,dx = \\sum_{n} a_n \\] which gives "
        "\\(\\cos x\\) and $$\\begin{aligned} x &= y \\\\ z &= w\\end{aligned}$$ as required by the problem.",
    ),
    "a fence": (
        "en",
        'Here is the translation table:\n```json\n{"saludo": "Hola, ¿cómo estás hoy? Espero que muy bien, mi querido '
        'amigo"}\n```\nUse it as you like.',
    ),
    "code": ("en", "Use the key `用户名` and the value `密码` in the config file to make it work."),
    "a quotation": ("en", 'The character "道" (dào) is often translated as "the way" in English philosophical texts.'),
    "names": (
        "en",
        "Gabriel García Márquez, Jorge Luis Borges, Pablo Neruda and Julio Cortázar were major Latin American writers. "
        "Johann Wolfgang von Goethe and Friedrich Schiller lived in Weimar.",
    ),
    "loans": (
        "en",
        "The raison d'être of the project, its joie de vivre and a certain je ne sais quoi, made it a fait accompli "
        "and the zeitgeist approved.",
    ),
    "law": (
        "en",
        "The doctrine of res judicata, stare decisis and mens rea are applied; habeas corpus ad subjiciendum was "
        "granted, et cetera.",
    ),
    "species": (
        "en",
        "Species include Escherichia coli, Drosophila melanogaster, Saccharomyces cerevisiae and Caenorhabditis "
        "elegans, which are all model organisms.",
    ),
    "an address": ("en", "See https://ru.wikipedia.org/wiki/Заглавная_страница for more details on this topic."),
    "emoji": ("en", "Great job! 🎉🎉🎉 ¡! ¿? 👍👍 You did it — 100% ✓✓✓"),
    "greetings": (
        "en",
        "Hello in other languages: Hola (Spanish), Bonjour (French), Guten Tag (German), Ciao (Italian), Olá "
        "(Portuguese), Merhaba (Turkish).",
    ),
    "dishes": (
        "en",
        "For dinner we had coq au vin, crème brûlée, pain au chocolat and a bottle of Châteauneuf-du-Pape at the café.",
    ),
    "functions": ("en", "sin cos tan sin cos tan log ln exp sin sin sin cos cos tan sec csc cot lim max min mod gcd"),
    "a refrain": ("en", "la la la la la la la la na na na na hey hey hey goodbye la la la la"),
    "capitals": ("en", "WARNING: DO NOT RUN THIS COMMAND AS ROOT UNLESS YOU KNOW WHAT YOU ARE DOING AND HAVE A BACKUP"),
    "identifiers": (
        "en",
        "Call getUserName() then set_user_id(x) and HTMLParser.feed(data) on obj.attr_name; ai_nc_par = fas_ddi_seq; "
        "kubectl get pods -n kube-system; chmod +x run.sh",
    ),
    "chemistry": (
        "en",
        "The reaction CH3COOH + NaOH -> CH3COONa + H2O proceeds; then KMnO4 oxidises FeSO4 in dilute H2SO4.",
    ),
    "pinyin": ("en", "In pinyin it is nǐ hǎo ma, wǒ hěn hǎo, xiè xie, and it is pronounced with four tones."),
    "a boxed answer": ("en", "Therefore the final answer is \\boxed{\\text{北京}} as required by the question."),
    "kanji": (
        "ja",
        "東京都千代田区霞が関にある経済産業省資源エネルギー庁は、新しい再生可能エネルギー政策を発表しました。"
        "国際連合安全保障理事会常任理事国も同様です。",
    ),
    "terms in Chinese": (
        "zh",
        "我们可以使用 Python 的 pandas 库来处理 DataFrame，然后调用 groupby 和 merge 函数完成数据分析。",
    ),
    "traditional Chinese": ("zh", "我們需要考慮這個問題的所有可能情況，因為它們之間的關係非常複雜，所以必須仔細分析。"),
    "two languages": (
        "en es",
        "The Spanish translation is: El gato duerme en la silla mientras la lluvia cae sobre la ciudad.",
    ),
}

UNEXPECTED: dict[str, tuple[str, str, str, str]] = {
    "a Chinese word": ("en", "So the total is 12. 因此 the answer is 12 and we are done here.", "leak", "zh"),
    "a Russian word": ("en", "Now the probability of this событие is one half, so we multiply.", "leak", "ru"),
    "one character": ("en", "So the difference is 差 between the two numbers.", "leak", "zh"),
    "Chinese": (
        "en",
        "Let me compute the derivative first. 首先我们对函数求导，然后令导数等于零，得到极值点。 So x = 2.",
        "switch",
        "zh",
    ),
    "Russian": (
        "en",
        "Let me check the result. Теперь нужно проверить, что сумма всех вероятностей равна единице.",
        "switch",
        "ru",
    ),
    "Japanese": (
        "en",
        "The answer should be 5. しかし、この場合は条件を満たさないので、別の方法を考えます。",
        "switch",
        "ja",
    ),
    "Korean": (
        "en",
        "The answer should be 5. 그러나 이 경우에는 조건을 만족하지 않으므로 다른 방법을.",
        "switch",
        "ko",
    ),
    "Chinese in Japanese": (
        "ja",
        "まず問題を整理します。次に式を立てます。然后我们需要考虑这个问题的所有可能情况，因为它们之间的关系很复杂。",
        "switch",
        "zh",
    ),
    "Japanese in Chinese": (
        "zh",
        "首先，我们需要理解这个问题。しかし、この場合は条件を満たさないので。",
        "switch",
        "ja",
    ),
    "English in Chinese": (
        "zh",
        "首先，我们需要理解这个问题。But then we should also consider the case where the number is negative.",
        "switch",
        "en",
    ),
    "Spanish": (
        "en",
        "First we compute the total cost of the trip. Entonces el costo total del viaje es la suma de los precios de "
        "cada uno de los boletos, por lo que la respuesta es cuarenta.",
        "switch",
        "es",
    ),
    "Ukrainian in Russian": (
        "ru",
        "Давайте рассмотрим эту задачу подробнее и найдём решение. Тепер нам потрібно знайти всі можливі значення цієї "
        "змінної, щоб відповісти на запитання.",
        "switch",
        "uk",
    ),
    "Portuguese in Spanish": (
        "es",
        "Vamos a analizar el problema con cuidado y encontrar la solución. Agora precisamos encontrar todos os valores "
        "possíveis da variável para responder à pergunta, porque não é possível fazer isso de outra maneira e as "
        "condições são muito fortes.",
        "switch",
        "pt",
    ),
    "after an open dollar": (
        "en",
        "It costs $5 for adults and $3 for children, so the family pays less. 然后我们计算总费用，得到最终的答案。",
        "switch",
        "zh",
    ),
    "after an open quotation": (
        "en",
        'He said "this is fine and left. 然后我们计算总费用，得到最终的答案，这就是结果。',
        "switch",
        "zh",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_expected_is_not_found(name: str) -> None:
    expect, text = EXPECTED[name]
    assert found(text, expect) == []


@pytest.mark.parametrize("name", UNEXPECTED)
def test_what_is_not_expected_is_found(name: str) -> None:
    expect, text, label, language = UNEXPECTED[name]
    findings = found(text, expect)
    assert [finding.detail["language"] for finding in findings if finding.label == label] == [language]
    assert label == "switch" or len(findings) == 1


def test_a_leak_warns_and_its_span_is_whole() -> None:
    text = "Now the probability of this событие is one half, so we multiply by two and get one."
    (finding,) = found(text)
    assert (finding.score, text[slice(*finding.span)]) == (WARN, "событие")
    assert finding.detail == {"language": "ru", "script": "Cyrillic"}


def test_a_switch_stops() -> None:
    assert found(UNEXPECTED["Chinese"][1])[-1].score == STOP


def test_what_the_prompt_holds_is_expected() -> None:
    text = "The sign Ж is the seventh, and ЖЖЖ is three of them in a row."
    assert scan(DETECTOR, text, context=Context(prompt=ENGLISH)) != []
    assert scan(DETECTOR, text, context=Context(prompt=f"{ENGLISH} The sign is Ж.")) == []


def test_the_language_that_the_prompt_asks_for_is_expected() -> None:
    text = "Entonces el costo total del viaje es la suma de los precios de cada uno de los boletos de tren. " * 2
    assert scan(DETECTOR, text, context=Context(prompt=ENGLISH)) != []
    assert scan(DETECTOR, text, context=Context(prompt=f"{ENGLISH} Answer in Spanish.")) == []


def test_english_is_allowed_unless_the_policy_says_otherwise() -> None:
    prompt = "还剩下多少个苹果？请一步一步地思考。"
    assert scan(DETECTOR, ENGLISH, context=Context(prompt=prompt)) == []
    strict = Language("language", LanguageSettings(allow=()))
    assert scan(strict, ENGLISH, context=Context(prompt=prompt)) != []


def test_a_response_to_a_prompt_that_tells_nothing_sets_its_own_language() -> None:
    chinese = "首先我们需要理解这个问题，然后考虑所有可能的情况，最后得到答案。" * 8
    assert scan(DETECTOR, chinese, context=Context(prompt="1 + 1")) == []
    russian = "Теперь нужно проверить, что сумма всех вероятностей равна единице."
    labels = {finding.label for _, finding in scan(DETECTOR, chinese + russian, context=Context(prompt="1 + 1"))}
    assert labels == {"leak", "switch"}


def test_plain_text_is_let_go_but_for_its_last_character() -> None:
    scanner = DETECTOR.open(LANE, Context(prompt=ENGLISH))
    assert scanner.feed(ENGLISH[:64]).settled >= 63


def test_no_more_than_200_characters_are_held() -> None:
    detector = only("en")
    detector.load()
    scanner = detector.open(LANE, Context())
    text = 'So "' + "因此 (a $" * 200
    for start in range(0, len(text), 16):
        report = scanner.feed(text[start : start + 16])
        assert min(start + 16, len(text)) - report.settled <= 200


def test_evidence_is_held() -> None:
    detector = only("en")
    detector.load()
    scanner = detector.open(LANE, Context())
    report = scanner.feed("So the answer is 因此 and")
    assert report.settled <= 17


def test_history_is_not_reported() -> None:
    history = "So the answer is 因此 and we are done. "
    assert scan(only("en"), "The end of it.", history=history) == []
    ((_, finding),) = scan(only("en"), "Or 不是 it.", history=history)
    assert finding.span.start == len(history) + 3


def test_peaks_tell_what_was_found() -> None:
    detector = only("en")
    detector.load()
    scanner = detector.open(LANE, Context())
    assert scanner.peaks() == {"leak": 0, "switch": 0, "script_variant": 0}
    scanner.feed("So the answer is 因 and we are done. ")
    peaks = scanner.peaks()
    assert peaks["leak"] == WARN
    assert peaks["switch"] == pytest.approx(STOP * 3 / 24)
    scanner.feed("首先我们对函数求导，然后令导数等于零，得到极值点。 ")
    assert scanner.peaks()["switch"] == STOP


def test_no_finding_without_its_peak() -> None:
    for expect, text, label, _ in UNEXPECTED.values():
        detector = only(expect)
        detector.load()
        scanner = detector.open(LANE, Context())
        scanner.feed(text)
        scanner.settle()
        assert scanner.peaks()[label] >= (STOP if label == "switch" else WARN)
    for expect, text in EXPECTED.values():
        detector = only(expect)
        detector.load()
        scanner = detector.open(LANE, Context())
        scanner.feed(text)
        scanner.settle()
        assert scanner.peaks()["switch"] < STOP


def test_a_mention_of_a_language_is_no_leak() -> None:
    assert found("The Chinese character for zero is 零 (líng), which is written with thirteen strokes.") == []
    assert found("The character for zero is 零 (líng), which is written with thirteen strokes.") != []


def test_what_stands_in_parentheses_counts_if_it_is_more_than_a_word() -> None:
    assert found("So we have a chain from Randy to Theresa and back (闭环，需要重新梳理) and start again.") != []
    assert found("So we have a chain, a closed loop (闭环), and start again.") == []


def test_a_word_of_english_in_chinese_is_a_leak_where_english_is_not_allowed() -> None:
    text = "全球 warming 是人类活动所带来的一种现象，它引发地表温度的上涨。"
    ((_, finding),) = scan(only("zh"), text)
    assert (finding.label, text[slice(*finding.span)]) == ("leak", "warming")
    prompt = Context(prompt="请解释 global warming 是什么意思，它有什么影响？")
    assert scan(Language("language", LanguageSettings(allow=())), text, context=prompt) == []


def test_a_denied_language_is_found_even_if_asked_for() -> None:
    text = "Entonces el costo total del viaje es la suma de los precios de cada uno de los boletos de tren. " * 2
    prompt = Context(prompt=f"{ENGLISH} Answer in Spanish.")
    strict = Language("language", LanguageSettings(deny=("es",)))
    assert [finding.label for _, finding in scan(strict, text, context=prompt)] == ["switch"]
    with pytest.raises(ValueError, match="en is both"):
        LanguageSettings(deny=("en",))


def test_the_spelling_of_chinese_is_looked_at_only_if_asked_for() -> None:
    text = "我們需要考慮這個問題的所有可能情況，因為它們之間的關係非常複雜，所以必須仔細分析。"
    context = Context(prompt="这个问题应该怎么解决？请详细说明。")
    assert scan(DETECTOR, text, context=context) == []
    spelled = Language("language", LanguageSettings(variant="prompt"))
    ((_, finding),) = scan(spelled, text, context=context)
    assert (finding.label, finding.score) == ("script_variant", WARN)
    assert_detector_contract(spelled, [text * 3], context=context)


def test_unknown_languages_are_named() -> None:
    with pytest.raises(ValueError, match="unknown language xx"):
        LanguageSettings(allow=("xx",))
    with pytest.raises(ValueError, match="expect"):
        LanguageSettings(expect=())


def test_opening_before_loading_is_an_error_that_says_so() -> None:
    with pytest.raises(DetectorError, match="load"):
        Language("language", LanguageSettings()).open(LANE, Context())


def test_keeps_the_contract() -> None:
    for expect, text in EXPECTED.values():
        assert_detector_contract(only(expect), [text])
    for expect, text, *_ in UNEXPECTED.values():
        assert_detector_contract(only(expect), [text, text * 3])
    everything = "\n".join(text for _, text, *_ in UNEXPECTED.values())
    assert_detector_contract(DETECTOR, [everything, everything[::-1]], context=Context(prompt=ENGLISH))
    assert_detector_contract(DETECTOR, [everything], context=Context(prompt="1 + 1"))
