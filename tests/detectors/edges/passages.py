"""Ordinary text: what nobody should complain about, in thirty languages.

`ENGLISH` is reasoning and answers of several kinds; `SPOKEN` holds for each language a question and an answer in it.
"""
# ruff: noqa: E501 - Han and Thai count double

from __future__ import annotations

from typing import Final, NamedTuple

REASONING: Final = (
    "Okay, so I need to find how many positive integers less than 1000 are divisible by neither 5 nor 7. First I count "
    "the multiples. There are 199 multiples of 5 below 1000, because 995 is the last one. For 7 the last one is 994, "
    "which is 7 times 142, so there are 142 of them. Numbers divisible by both are multiples of 35, and 980 is the "
    "biggest, so 28. By inclusion and exclusion the union has 199 + 142 - 28 = 313 members. Out of 999 candidates that "
    "leaves 686. Wait, should zero be included? The question says positive, so no.",
    "Let me set up coordinates. Put A at the origin and B at (6, 0), so the midpoint M of AB is (3, 0). Since the "
    "triangle is isosceles with apex C above M, C has the form (3, h). The area is 12, which gives 3h = 12 and h = 4. "
    "Hence AC has length 5 by Pythagoras. The incircle touches AB at M; its radius is the area over the semiperimeter, "
    "that is 12 / 8 = 1.5. Now the tangent from A to the circle has length 3, consistent with the semiperimeter minus "
    "the opposite side, 8 - 5. Good, everything fits together.",
    "Hmm, the hard part is the phrase 'at least two of the same colour'. It is easier to count the opposite, that is "
    "all three socks different. With four black, three grey and two red socks there are 4 * 3 * 2 = 24 ways to draw "
    "one of each, out of C(9, 3) = 84 draws. So the chance we want is 1 - 24/84 = 5/7. Let me double-check with a tree: "
    "the first sock is black with probability 4/9, then something else... yes, summing six orders of 24/504 each gives "
    "2/7, and its complement is 5/7.",
    "The recursion looks wrong to me. When the list is empty, the function returns None instead of an empty list, and "
    "then the caller tries to extend None. That explains the TypeError in the second line of the trace. But why does "
    "the test with one element pass? Because for a single element the slice is never taken. I could fix the base case, "
    "or rewrite the thing with an explicit stack, which also avoids the recursion limit for long inputs. The user asked "
    "for the smallest change, so the base case it is.",
    "Maybe I should think about units before plugging numbers in. The spring constant is given in newtons per "
    "centimetre, so k is 250 N/m after conversion. Energy stored at 8 cm is half of 250 times 0.0064, about 0.8 J. If "
    "all of it becomes kinetic energy of a 40 gram ball, the speed is the square root of 40, roughly 6.3 metres per "
    "second. Friction is neglected in the statement. Does gravity matter? The launcher is horizontal, so the ball "
    "falls only after it has left the muzzle.",
    "Alternatively, look at the sequence modulo 4. Squares are 0 or 1 there, so a sum of two squares can never be 3. "
    "The number in question is 2023, and 2023 leaves the remainder 3, since 2020 is a multiple of four. Therefore no "
    "representation exists, and we did not even need to try any pairs. I was about to search up to 44, which would have "
    "taken a while. Nice that the obstruction is visible at such a small modulus.",
)
"""Six thoughts about six different problems, 430 to 570 characters each."""

ANSWERS: Final = (
    "To make a simple tomato soup for four people, soften one chopped onion and two cloves of garlic in olive oil over "
    "a gentle heat. Add a kilogram of ripe tomatoes, quartered, with a pinch of sugar, salt and a sprig of thyme. Let "
    "the pot simmer under a lid until the skins have come loose, about twenty-five minutes. Remove the thyme, blend "
    "everything until it is smooth, and pass it through a sieve if you dislike seeds. Stir in a spoonful of cream just "
    "before serving, and offer toasted bread on the side.",
    "The bicycle as we know it took shape in the 1880s. Earlier machines had put the rider above an enormous front "
    "wheel, which was fast on good roads and dangerous everywhere else. What changed was the chain: once the pedals "
    "could drive the rear wheel through a gear, both wheels could be small and the rider could sit between them. "
    "Pneumatic tyres followed within a few years. Cheap second-hand machines then spread to villages, and doctors, "
    "postmen and young women discovered that distance had become a matter of will.",
    "Dear Ms Carter, thank you for your patience while we looked into the missing parcel. The carrier has confirmed "
    "that it was handed to a neighbour at number 14 on Tuesday afternoon, although no card was left in your letter box. "
    "We are sorry for the confusion. If the neighbour does not have it, please reply to this message before Friday and "
    "we will send a replacement at no cost. As a small apology, a voucher for your next order is attached. Kind "
    "regards, the customer service team.",
    "A hash table stores each key in a slot chosen by a function of the key. Two keys may share a slot, and there are "
    "two popular ways to live with that. Chaining keeps a short list per slot; open addressing looks for the next free "
    "slot along some path. Chaining degrades gently when the table fills up. Open addressing is kinder to the cache, "
    "but removals need markers, and performance collapses as the load nears one. Resizing at seventy percent is a "
    "common compromise between space and speed.",
    '"You are late," said the watchmaker without looking up. "The train was," the girl answered, and put the box on '
    "the counter between them. He opened it with a fingernail. Inside lay a pocket watch with a cracked crystal, and "
    'under it a folded letter. "Whose was it?" he asked. "My grandfather never said. He wound it every night, though '
    'it has not run since the war." The old man held it to his ear for a long moment. "It runs," he said. "It is only '
    'that nobody has been able to hear it."',
    "Rain forms when droplets in a cloud grow too heavy to be carried by rising air. In warm clouds they grow by "
    "bumping into each other; in cold ones, ice crystals take vapour from the droplets around them and fall as snow "
    "that melts on the way down. Either path needs tiny particles to begin with, such as dust, pollen or sea salt. "
    "That is why heavy smoke can sometimes delay rain: with too many particles, each one gets too little water to grow "
    "to the size at which it would fall.",
)
"""Six answers of different kinds: recipe, history, letter, explanation, dialogue, science."""

ENGLISH: Final = REASONING + ANSWERS
LONG: Final = "\n\n".join(ENGLISH)
"""About 6,300 characters in which no sentence comes twice."""


class Spoken(NamedTuple):
    question: str
    answer: str


SPOKEN: Final = {
    "zh": Spoken(
        "为什么天空是蓝色的？请用简单的话解释一下。",
        "天空看起来是蓝色的，是因为阳光穿过大气层时会被空气中的分子散射。蓝光的波长比较短，散射得更厉害，所以从各个方向"
        "进入我们眼睛的主要是蓝光。傍晚的时候，阳光要走更长的路，蓝光大部分已经被散射掉了，剩下的红光和橙光就让天空变得"
        "通红。如果没有大气层，天空会是黑色的，就像宇航员在月球上看到的那样。",
    ),
    "zh-Hant": Spoken(
        "為什麼天空是藍色的？請用簡單的話解釋一下。",
        "天空看起來是藍色的，是因為陽光穿過大氣層時會被空氣中的分子散射。藍光的波長比較短，散射得更厲害，所以從各個方向"
        "進入我們眼睛的主要是藍光。傍晚的時候，陽光要走更長的路，剩下的紅光就讓天空變得通紅。",
    ),
    "ja": Spoken(
        "冷蔵庫に残った野菜で作れる簡単な料理を教えてください。",
        "残り野菜なら、具だくさんの味噌汁がおすすめです。まず、大根やにんじんなどの固い野菜を薄く切り、だし汁で柔らかくなる"
        "まで煮ます。次に、キャベツやねぎのように火の通りやすいものを加え、最後に火を弱めてから味噌を溶き入れてください。"
        "沸騰させると香りが飛んでしまうので注意しましょう。豆腐や卵を入れると、それだけで立派な一品になります。",
    ),
    "ko": Spoken(
        "주말에 서울에서 가볼 만한 곳을 추천해 주세요.",
        "날씨가 좋다면 먼저 북촌 한옥마을을 천천히 걸어 보세요. 오래된 기와집 사이로 골목이 이어지고, 작은 찻집도 많습니다. "
        "오후에는 경복궁에 들러 수문장 교대식을 구경하고, 저녁에는 광장시장에서 빈대떡과 김밥을 맛보는 것을 추천합니다. "
        "시간이 남으면 한강 공원에서 자전거를 빌려 타는 것도 좋은 방법입니다. 주말에는 사람이 많으니 일찍 출발하는 편이 낫습니다.",
    ),
    "ru": Spoken(
        "Почему зимой дни короче, чем летом?",
        "Дело в том, что ось вращения Земли наклонена к плоскости её орбиты. Летом наше полушарие повёрнуто к Солнцу, и его "
        "лучи освещают нас дольше и падают почти отвесно. Зимой всё наоборот: Солнце поднимается невысоко над горизонтом и "
        "быстро заходит. Расстояние до Солнца при этом почти не играет роли, ведь в январе мы находимся к нему даже немного "
        "ближе, чем в июле.",
    ),
    "uk": Spoken(
        "Як правильно заварювати зелений чай?",
        "Для зеленого чаю не можна брати окріп, бо листя віддасть гіркоту. Закип'ятіть воду й зачекайте кілька хвилин, поки "
        "вона трохи охолоне. Потім насипте в чайник одну ложку листя на склянку, залийте водою і дайте настоятися не довше "
        "двох хвилин. Перший настій часто зливають, щоб змити пил. Те саме листя можна заварювати ще двічі або тричі, щоразу "
        "трохи довше.",
    ),
    "bg": Spoken(
        "Защо котките мъркат?",
        "Котките мъркат, защото мускулите на гръкляна им трептят много бързо, докато въздухът минава през него. Най-често го "
        "правят, когато са спокойни и доволни, но понякога мъркат и когато са болни или уплашени. Учените смятат, че ниските "
        "трептения помагат на костите и мускулите да се възстановяват по-бързо.",
    ),
    "el": Spoken(
        "Γιατί η θάλασσα είναι αλμυρή;",
        "Η θάλασσα είναι αλμυρή επειδή τα ποτάμια μεταφέρουν συνεχώς άλατα από τα πετρώματα της ξηράς. Το νερό εξατμίζεται, "
        "αλλά τα άλατα μένουν πίσω και συγκεντρώνονται εδώ και εκατομμύρια χρόνια. Ένα μέρος τους προέρχεται και από τα "
        "ηφαίστεια του βυθού. Στις κλειστές θάλασσες, όπου η εξάτμιση είναι έντονη, το νερό γίνεται ακόμη πιο αλμυρό.",
    ),
    "ar": Spoken(
        "كيف أحافظ على نباتات المنزل في الصيف؟",
        "في الصيف تحتاج نباتات المنزل إلى عناية خاصة لأن الماء يتبخر بسرعة. اسقِ النباتات في الصباح الباكر أو بعد غروب الشمس، "
        "ولا تترك الماء راكدا في الصحن أسفل الأصيص. أبعد الأوعية عن النوافذ التي تدخل منها الشمس مباشرة في وقت الظهيرة، وامسح "
        "الأوراق بقطعة قماش رطبة كل أسبوع حتى تتنفس بسهولة.",
    ),
    "fa": Spoken(
        "چرا خواب برای بدن مهم است؟",
        "خواب به بدن فرصت می‌دهد تا خود را ترمیم کند و مغز خاطرات روز را مرتب می‌سازد. کسانی که کم می‌خوابند زودتر خسته می‌شوند، "
        "تمرکز کمتری دارند و بیشتر بیمار می‌شوند. پژوهشگران می‌گویند بیشتر بزرگسالان به هفت تا هشت ساعت خواب نیاز دارند. بهتر است "
        "یک ساعت پیش از خواب گوشی را کنار بگذارید.",
    ),
    "he": Spoken(
        "איך מגדלים בזיליקום במרפסת?",
        "בזיליקום אוהב שמש, ולכן כדאי להניח את העציץ במקום שמקבל אור לפחות שש שעות ביום. השקו כשהאדמה יבשה למגע, אבל אל תציפו "
        "את השורשים. כאשר הצמח מגיע לגובה של עשרים סנטימטרים, קטמו את הקצוות כדי שיתפצל ויהיה עבות יותר. אם מופיעים פרחים, "
        "הסירו אותם מיד, כי אחרת העלים יהיו מרים.",
    ),
    "hi": Spoken(
        "सुबह टहलने के क्या फायदे हैं?",
        "सुबह की ताज़ी हवा में टहलने से शरीर में ऊर्जा आती है और मन शांत रहता है। रोज़ आधा घंटा चलने से दिल मज़बूत होता है, वज़न काबू में रहता है "
        "और नींद भी अच्छी आती है। डॉक्टर कहते हैं कि शुरुआत धीरे-धीरे करनी चाहिए और आरामदायक जूते पहनने चाहिए। पानी पीना न भूलें और अगर चक्कर आए "
        "तो तुरंत रुक जाएँ।",
    ),
    "th": Spoken(
        "ทำไมเราจึงต้องดื่มน้ำทุกวัน",
        "ร่างกายของเราประกอบด้วยน้ำมากกว่าครึ่งหนึ่ง น้ำช่วยพาสารอาหารไปเลี้ยงเซลล์ ขับของเสียออกทางเหงื่อและปัสสาวะ และรักษาอุณหภูมิให้คงที่ "
        "หากดื่มน้ำไม่พอ เราจะรู้สึกเหนื่อยง่าย ปวดศีรษะ และไม่มีสมาธิ ผู้ใหญ่ส่วนใหญ่ควรดื่มน้ำวันละประมาณแปดแก้ว และควรดื่มเพิ่มเมื่ออากาศร้อนหรือออกกำลังกาย",
    ),
    "es": Spoken(
        "¿Por qué el pan se pone duro con el tiempo?",
        "El pan se endurece porque el almidón de la harina cambia de estructura cuando se enfría. Durante el horneado los "
        "granos de almidón absorben agua y se ablandan, pero después, poco a poco, vuelven a ordenarse y expulsan esa "
        "humedad hacia la corteza. Por eso una barra del día anterior recupera parte de su ternura si la calentamos unos "
        "minutos en el horno. Guardarla en la nevera es mala idea, ya que el frío acelera el proceso.",
    ),
    "pt": Spoken(
        "Como posso aprender a nadar sendo adulto?",
        "Nunca é tarde para aprender a nadar. O mais importante é começar numa piscina rasa, onde você consiga ficar de pé, e "
        "acostumar-se a colocar o rosto na água e soltar o ar devagar. Depois, pratique a flutuação de barriga para cima até "
        "sentir que o corpo não afunda. Um bom professor vai corrigir a posição das pernas e dos braços antes que os erros "
        "virem hábito. Com duas aulas por semana, a maioria das pessoas já atravessa a piscina em três meses.",
    ),
    "fr": Spoken(
        "Comment faire pour mieux dormir la nuit ?",
        "Pour mieux dormir, il faut d'abord se coucher et se lever à des heures régulières, même le dimanche. Évitez le café "
        "après seize heures et les repas trop lourds le soir. La chambre doit être sombre, calme et plutôt fraîche. Si vous "
        "ne trouvez pas le sommeil au bout de vingt minutes, levez-vous et lisez quelques pages dans une autre pièce, puis "
        "retournez au lit dès que vos paupières deviennent lourdes.",
    ),
    "de": Spoken(
        "Warum werden die Blätter im Herbst bunt?",
        "Im Sommer überdeckt das grüne Chlorophyll alle anderen Farbstoffe in den Blättern. Wenn die Tage kürzer werden, "
        "zieht der Baum diesen wertvollen Stoff zurück und lagert ihn im Stamm und in den Wurzeln ein. Übrig bleiben die "
        "gelben und orangen Farbstoffe, die schon immer da waren. Manche Arten bilden zusätzlich rote Farbstoffe, die das "
        "Blatt vermutlich vor zu viel Licht schützen, während es abgebaut wird.",
    ),
    "it": Spoken(
        "Come si prepara un buon caffè con la moka?",
        "Per un buon caffè bisogna riempire la caldaia con acqua fresca fino alla valvola, senza superarla. Poi si mette il "
        "filtro e lo si colma di caffè macinato senza premere. La fiamma deve essere bassa, perché il liquido salga "
        "lentamente e non prenda un sapore di bruciato. Quando si sente il gorgoglio, conviene togliere la moka dal fuoco, "
        "mescolare con un cucchiaino e servire subito nelle tazzine già calde.",
    ),
    "nl": Spoken(
        "Waarom fietsen Nederlanders zoveel?",
        "Nederland is vlak, de afstanden in de steden zijn kort en bijna overal liggen aparte fietspaden. Daardoor is de fiets "
        "vaak sneller dan de auto, zeker in het centrum, waar je moeilijk kunt parkeren. Kinderen leren al jong fietsen en "
        "gaan vanaf een jaar of tien zelf naar school. Bovendien heeft de overheid sinds de jaren zeventig veel geld besteed "
        "aan veilige kruispunten en grote stallingen bij de stations.",
    ),
    "pl": Spoken(
        "Jak upiec dobry chleb w domu?",
        "Do dobrego chleba wystarczą mąka, woda, sól i zakwas. Wieczorem wymieszaj składniki i zostaw ciasto pod ściereczką na "
        "całą noc, żeby powoli wyrosło. Rano uformuj bochenek, włóż go do koszyka i odczekaj jeszcze godzinę. Piecz najpierw "
        "w bardzo gorącym piekarniku pod przykryciem, a potem zdejmij pokrywkę, aby skórka się zarumieniła. Nie krój "
        "ciepłego chleba, bo miąższ musi jeszcze dojść.",
    ),
    "cs": Spoken(
        "Proč se kočky bojí vody?",
        "Většina koček nemá vodu ráda, protože jejich srst rychle nasákne a ztěžkne. Mokrá kočka se špatně pohybuje a dlouho "
        "schne, takže jí je zima. Navíc jejich předkové žili v suchých krajinách, kde k řekám nechodili plavat, ale jen pít. "
        "Existují ovšem plemena, která si ve vodě hrají velmi ráda, a některé kočky si zvyknou, když je majitel učí od "
        "malička.",
    ),
    "sv": Spoken(
        "Hur tar jag hand om en gammal cykel?",
        "Börja med att tvätta cykeln med ljummet vatten och en mjuk borste, så att du ser om någonting är sprucket eller "
        "rostigt. Torka kedjan noga innan du smörjer den, annars fastnar smutsen i oljan. Kontrollera sedan att bromsarna tar "
        "ordentligt och att däcken har rätt tryck. Under vintern bör cykeln stå inomhus, helst på en torr plats där den inte "
        "utsätts för alltför stora växlingar i temperaturen.",
    ),
    "nb": Spoken(
        "Hvorfor er det så mange fjorder i Norge?",
        "Fjordene ble gravd ut av isbreer gjennom flere istider. Da isen var på sitt tykkeste, presset den seg nedover dalene "
        "og slipte bort fjellet under seg, ofte mange hundre meter under dagens havnivå. Da breene smeltet, strømmet sjøen inn "
        "i de dype dalene. Ytterst ved kysten var isen tynnere, og derfor er de fleste fjorder grunnest ved munningen.",
    ),
    "tr": Spoken(
        "Sabahları erken kalkmak için ne yapmalıyım?",
        "Erken kalkmak istiyorsanız önce yatma saatinizi yavaş yavaş öne çekin, çünkü uykusuz bir insan uzun süre erken "
        "kalkamaz. Akşamları telefonu başka bir odada bırakın ve çalar saati yatağın uzağına koyun. Uyanır uyanmaz perdeleri "
        "açıp bir bardak su için. İlk günlerde zor gelse de vücudunuz iki üç hafta içinde yeni düzene alışır ve saat çalmadan "
        "uyanmaya başlarsınız.",
    ),
    "vi": Spoken(
        "Làm thế nào để nấu phở ngon?",
        "Muốn có nồi phở ngon, trước hết phải ninh xương bò thật lâu với lửa nhỏ và hớt bọt thường xuyên để nước được trong. Gừng "
        "và hành tây cần nướng cho thơm rồi mới cho vào nồi cùng với hoa hồi, quế và thảo quả. Bánh phở chỉ trần qua nước sôi, "
        "sau đó xếp thịt bò thái mỏng lên trên và chan nước dùng thật nóng. Ăn kèm với rau thơm, chanh và ớt tươi.",
    ),
    "id": Spoken(
        "Bagaimana cara merawat sepatu kulit?",
        "Sepatu kulit sebaiknya dibersihkan dengan kain lembap setiap kali selesai dipakai supaya debu tidak menempel. Setelah "
        "kering, oleskan sedikit semir dan gosok perlahan dengan gerakan memutar. Jangan menjemur sepatu langsung di bawah "
        "matahari karena kulitnya bisa retak. Simpan di tempat yang kering dan masukkan kertas ke dalamnya agar bentuknya tidak "
        "berubah. Kalau sering dipakai, berikan waktu istirahat satu hari.",
    ),
    "hr": Spoken(
        "Kako se pravi dobra juha od rajčice?",
        "Najprije na maslinovom ulju lagano popržite luk i češnjak, a zatim dodajte oguljene rajčice i malo šećera. Kuhajte na "
        "tihoj vatri dvadesetak minuta, sve dok se rajčice ne raspadnu. Nakon toga juhu treba izmiksati, posoliti i začiniti "
        "svježim bosiljkom. Uz nju se najbolje slaže prepečeni kruh, a tko voli gušću juhu, može dodati žlicu riže.",
    ),
    "fi": Spoken(
        "Miksi sauna on suomalaisille tärkeä?",
        "Sauna on ollut suomalaisille satojen vuosien ajan paikka, jossa peseydytään, levätään ja jutellaan rauhassa. Aikoinaan "
        "siellä synnytettiin lapset ja hoidettiin sairaita, koska se oli talon puhtain huone. Nykyään lähes jokaisessa kodissa "
        "on oma sauna, ja lauantai-ilta alkaa usein löylyillä. Kiire jää oven ulkopuolelle, eikä kukaan katso kelloa.",
    ),
    "ro": Spoken(
        "De ce plouă mai mult toamna?",
        "Toamna, aerul rece care vine dinspre nord întâlnește aerul cald și umed rămas după vară. Când cele două se amestecă, "
        "vaporii de apă se condensează și se formează nori groși, din care plouă uneori zile întregi. Vara plouă mai rar, dar "
        "mai tare, pentru că furtunile se nasc repede deasupra pământului încins și se destramă la fel de repede.",
    ),
    "hu": Spoken(
        "Miért egészséges a gyaloglás?",
        "A rendszeres gyaloglás erősíti a szívet, javítja a vérkeringést és megnyugtatja az idegeket. Nem kell hozzá drága "
        "felszerelés, elég egy kényelmes cipő és napi fél óra. Aki ülőmunkát végez, annak különösen jót tesz, mert a hosszú "
        "ülés után a hát és a nyak izmai végre megmozdulnak. Kezdetben lassan induljunk el, és csak fokozatosan növeljük a "
        "távolságot.",
    ),
}
"""Language (ISO 639-1, `zh-Hant` for traditional Chinese) to a question and an answer in it.
"""
