"""Texts that tokenizers disagree about: many scripts, odd white space, combining marks, numbers, code. Always the same."""
import random

SENTENCES = """All human beings are born free and equal in dignity and rights.
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Alle Menschen sind frei und gleich an Würde und Rechten geboren; Größe, Straße, ẞ.
Todos los seres humanos nacen libres e iguales: ¿verdad? ¡Sí!
Toți oamenii se nasc liberi și egali în demnitate și în drepturi.
Všichni lidé se rodí svobodní a sobě rovní co do důstojnosti a práv.
Minden emberi lény szabadon születik, árvíztűrő tükörfúrógép.
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm.
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar; İstanbul, ılık.
Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.
Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum.
Все люди рождаются свободными и равными в своём достоинстве и правах.
Всі люди народжуються вільними і рівними у своїй гідності та правах.
Сва људска бића рађају се слободна и једнака у достојанству и правима.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.
Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ։
ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებით.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ׃
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
بِسْمِ ٱللَّهِ ٱلرَّحْمَـٰنِ ٱلرَّحِيمِ
تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.
تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।
ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ ਤੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ।
પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે.
மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.
ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులు.
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ.
മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും സ്വാതന്ത്ര്യത്തോടും ജനിച്ചവരാണ്.
සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා ඇත.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ
ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ, ສິດທິ ແລະ ຄວາມສະເໝີພາບ.
လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် မွေးဖွားလာသူများ ဖြစ်သည်။
មនុស្សទាំងអស់ កើតមកមានសេរីភាព និងសមភាព ក្នុងសេចក្តីថ្លៃថ្នូរ។
འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས།
ሁሉም ሰዎች በክብርና በመብት እኩልና ነፃ ሆነው ተወልደዋል።
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。
人人生而自由，在尊嚴和權利上一律平等。「漢字」、『假名』！
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
カタカナとひらがな、ｶﾀｶﾅ、全角ＡＢＣ１２３、㍿。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
Хүн бүр төрж мэндлэхдээ эрх чөлөөтэй, адилхан нэр төртэй. ᠮᠣᠩᠭᠣᠯ
ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ᎠᎴ ᎤᏂᎪᎵᏍᏗ ᎢᏳᎾᎵᏍᏔᏅᎯ.
ᐃᓄᓕᒫᑦ ᐊᓂᖅᑎᕆᔪᓄᑦ ᐃᓅᓕᑦᓴᖅᑐᑦ.
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒾𝓃 𝓂𝒶𝓉𝒽 𝟙𝟚𝟛 𝟎𝟏; 𐍈𐌰𐌹𐌻𐌰 𒀭𒂗 𓀀𓁐 𐤀𐤁
It's we're they've I'm you'll he'd can't DON'T I'LL WE'VE y'all 'tis rock'n'roll O'Neil's''s
“Smart” quotes — dashes – and… ellipses ‹‹ » « • † ‡ § ¶ © ® ™ № ℃
for (int i = 0; i < 10; ++i) { printf("%d\\n", i); }  // loop
def f(x: int) -> dict[str, list[int]]:\n    return {"a": [x ** 2 for _ in range(3)]}\n
#include <vector>\n#define MAX(a,b) ((a)>(b)?(a):(b))\r\n\tint main(){return 0;}\r\n
SELECT * FROM users WHERE id=42 AND name LIKE '%O''Brien%'; -- comment
<html><body class="x">&nbsp;&amp;<br/></body></html>
https://www.example.com/path/to/page.html?query=1&b=%20x#frag ftp://a.b.c:8080/~me
someone@example.org, +1 (555) 010-9999, 192.168.0.1, fe80::1%eth0, $1,234.56, 3.14159e-10
camelCaseIdentifier snake_case_name SCREAMING_CASE kebab-case-name x86_64 utf8mb4 C++20 F#
\\frac{a}{b} \\sum_{i=0}^{n} x_i^2 = \\int_0^\\infty e^{-x^2} dx ≈ ∑∏√∞≠≤≥±×÷
| a | b |\n|---|:--|\n| **1** | `2` |\n\n- [x] done\n* item\n> quote\n""".split("\n")

PIECES = ["\U0001F600", "\U0001F468‍\U0001F469‍\U0001F467‍\U0001F466", "\U0001F3F3️‍\U0001F308",
          "\U0001F1E9\U0001F1EA", "\U0001F44D\U0001F3FD", "❤️", "1️⃣", "☃", "e\u0301", "a\u0308\u0323", "Z\u0351\u036b\u0343\u036aa\u0302l\u0334g\u0321o\u0322",
          "\u0301", "\u200d", "\u200b", "\u200e", "\ufeff", "\u2060", "\u00ad", "\ufffd", "\ue000", "\U000f0000", "\U0010ffff", "\x00", "\x01",
          "\x07", "\x08", "\x0b", "\x0c", "\x1b[31m", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\x80", "\x85", "\x9f", " ", "  ", "   ", "    ", "        ",
          "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r", "\r\n", "\r\n\r\n", " \n", "\n ", " \t \n ", "\xa0", "\xa0 ", " \xa0", "\u1680", "\u2002\u2003", "\u2028",
          "\u2029", "\u202f", "\u205f", "\u3000", "\u3000\u3000 ", "\u180e", "0", "7", "42", "123", "1234", "12345678901234567890", "007", "3.14", "1,000,000",
          "١٢٣", "۴۵۶", "१२३४", "০৯", "๑๒๓", "１２３", "²³", "½", "Ⅷ", "①②", "㊿", "〇一二三", "𝟘𝟙", "𐒠𐒡", "٪", "'s", "'S", "'ſ", "'t", "'RE", "'ve", "'Ll", "'d", "''", "'",
          "’s", "ſ", "K", "İ", "ı", "ß", "ǅ", "ﬁ", "Å", "각", "\u1100\u1161\u11a8", "क्ष", "ﷺ", "…", "—", "_", "__init__", "#", "##", "@user", "!!!", "?!", "...", "-->", "<=>",
          "=====", "----------", "**", "//", "\\n", "{{", "}}", "(", ")", "[", "]", "a", "A", "I", "the", "The", " the", "hello", "Hello", "HELLO", "world", "x", "▁", "▁▁", "▁a", "Ġ", "Ċ",
          "<0x0A>", "<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>user\n", "<|im_end|>\n", "<repo_name>", "<file_sep>",
          "<jupyter_code>", "<|im_start", "|im_end|>", "<<|im_end|>>", "<|im_end|><|im_end|>", "<|im_end|> <|im_start|>"]


def code_point(rng):
    """Any assigned-looking character below the private planes; surrogates excluded."""
    while True:
        c = rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x250, 0x3000), rng.randrange(0x3000, 0xA000), rng.randrange(0xA000, 0xD800),
                        rng.randrange(0xF900, 0x10000), rng.randrange(0x10000, 0x10500), rng.randrange(0x1D400, 0x1D800), rng.randrange(0x1F300, 0x1FA00)])
        # Characters that Unicode 14 does not know have no class that two libraries must agree on.
        import unicodedata
        if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co"):
            return chr(c)


def mixed_texts(count=2000, seed=20240229):
    rng = random.Random(seed)
    sentences = [s.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t") for s in SENTENCES if s]
    texts = ["", " ", "\n"] + sentences + list(PIECES)
    makers = [
        lambda: "".join(rng.choice(PIECES) for _ in range(rng.randint(2, 14))),
        lambda: "".join(rng.choice([rng.choice(PIECES), rng.choice(sentences)[: rng.randint(1, 40)], " "]) for _ in range(rng.randint(2, 10))),
        lambda: rng.choice([" ", "\n", "  ", ""]).join(rng.choice(sentences)[rng.randint(0, 20):][: rng.randint(5, 80)] for _ in range(rng.randint(1, 4))),
        lambda: "".join(code_point(rng) for _ in range(rng.randint(1, 30))),
        lambda: "".join(rng.choice(" \t\n\r\xa0\u3000a1.") for _ in range(rng.randint(1, 40))),
        lambda: "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789 '.,-_\n") for _ in range(rng.randint(5, 80))),
        lambda: rng.choice(PIECES) * rng.randint(2, 60),
        lambda: str(rng.randrange(10 ** rng.randint(1, 30))) + rng.choice(["", " ", "%", "px", "€", "ª", "年"]),
        lambda: " ".join(rng.choice(sentences).split(" ")[0] + rng.choice(PIECES) for _ in range(rng.randint(1, 8))),
        lambda: "".join(rng.choice(["'", "s", "S", "t", "re", "VE", "m", "ll", "d", " ", "x", "ſ", "1"]) for _ in range(rng.randint(2, 20))),
    ]
    while len(texts) < count:
        texts.append(makers[len(texts) % len(makers)]())
    return texts[:count]


def conversations(count=30, seed=7):
    """Chats whose contents hold no special token, since those differ by intent."""
    rng = random.Random(seed)
    plain = [s.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t") for s in SENTENCES if s]
    odd = ["", " ", "\n", "\n\nBegins with line ends", " begins with a blank", "ends with a blank ", "ends with line ends\n\n", "  \n x", "\tTab", "system\n", "1", "```c\nint x;\n```"]
    chats = [[{"role": "user", "content": "Hi"}], [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
             [{"role": "assistant", "content": "I speak first."}], [{"role": "system", "content": ""}], [{"role": "user", "content": "a"}, {"role": "system", "content": "late"}]]
    while len(chats) < count:
        chat = [{"role": "system", "content": rng.choice(plain)}] if rng.random() < 0.3 else []
        for _ in range(rng.randint(1, 4)):
            for role in ("user", "assistant"):
                chat.append({"role": role, "content": rng.choice(odd) if rng.random() < 0.4 else " ".join(rng.sample(plain, rng.randint(1, 3)))})
        if rng.random() < 0.3:
            chat.pop()
        chats.append(chat)
    return chats
