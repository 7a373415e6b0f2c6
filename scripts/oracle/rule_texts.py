"""For the oracles of the rule steps: texts, synthetic ones, the same for every peer, or a corpus; and what curate decides."""
import glob
import json
import os
import random
import subprocess
import tempfile

WORDS = ("the be to of and that have with time person year way day thing man world life hand part child eye woman place "
         "work week case point government company number group problem fact don't can't it's they've we'll I'm e.g. i.e. "
         "Mr. Dr. U.S. p.m. cannot gonna well-known state-of-the-art and/or 3.14 1,000 10km 5% $20 2024-01-02 v1.2.3 "
         "http://example.com/a?b=c mail@example.org naïve café Straße привет мир 漢字 かな हिन्दी العربية 한국어 🙂 👩‍👩‍👧 e\u0301a "
         "\u200b ﬁne １２ ﾊﾝ a'b rock'n'roll O'Neil x=y a/b C++ :-) (see) [1] [edit] [citation needed] [12] \"quoted\" “curly” "
         "‘single’ … ... -- — – • * # ## & @user <tag> {brace} javascript JavaScript cookies policy lorem ipsum "
         "IS_ALPHA °C. 20°C km² ½ x² ...and end.Begin a.b.C Ph.D. US$5 9a.m. '90s ''").split(" ")
BLANKS = [" "] * 30 + ["  ", "\t", "\n", "\n\n", "\r\n", "\x85", "\u00a0", "\u2028", "\u3000", "\x1c", "\v", "\f", "\u2009"]
SENTENCES = ("The quick brown fox jumps over the lazy dog.", "We have to be careful with that, of course!",
             "Is this the way to do it?", "He said \"stop\" and left.", "Terms of use and privacy policy apply here.",
             "This page uses cookies to work with you.", "Please enable JavaScript to read that.", "Short line.",
             "- a point of the list that goes on for a while", "• another point to be read with care",
             "To be continued...", "And so on…", "これは文です。", "यह एक वाक्य है।", "Это предложение о том, что есть.",
             "Numbers 1 2 3 4 5 6 7 8 9 10 11 12", "She wrote it.[12] And [citation needed] that was it.",
             "A line with cooKie policy in it, the Kelvin way.", "USE OF COOKIES to be had with that", "## Heading of that",
             "...", "Lorem ipsum dolor sit amet.", "a { b } c with that", "   leading and trailing blanks   ",
             "Mr. Smith went to Washington D.C. on Jan. 5 at 5 p.m. with a U.S. passport.", "x" * 1001 + " is long to be",
             "one two", "", "", "!!! ??? ...", "# # # # # #", "state-of-the-art and/or well-known, isn't it?")


def synthetic(seed, count):
    rng = random.Random(seed)
    texts = ["", " ", "\n", "\n\n\n", "a", "word", ".", "[1] [2] [3]", "IS_ALPHA", "x IS_ALPHA y. The IS_ALPHA end.",
             "\ufeffbyte order mark to be with that", "a\u0000b\u0001c", "the be to of and that have with " * 20]
    while len(texts) < count:
        kind = rng.random()
        if kind < 0.25:  # a soup of words and blanks
            texts.append("".join(rng.choice(WORDS) + rng.choice(BLANKS) for _ in range(rng.randint(1, 90))))
        elif kind < 0.7:  # lines of sentences, some of them repeated
            pool = rng.sample(SENTENCES, rng.randint(2, len(SENTENCES)))
            lines = [" ".join(rng.choice(pool) for _ in range(rng.randint(1, 3))) for _ in range(rng.randint(1, 16))]
            texts.append(rng.choice(["\n", "\n", "\n\n", "\r\n", "\u2029"]).join(lines) + rng.choice(["", "\n", " "]))
        else:  # prose that passes most rules, with a repeated phrase now and then
            plain = WORDS[:60]
            phrase = " ".join(rng.choice(plain) for _ in range(rng.randint(3, 12)))
            text, repeat = "", rng.random() * 0.4
            for _ in range(rng.randint(3, 14)):
                sentence = " ".join(rng.choice(plain) for _ in range(rng.randint(4, 18))) if rng.random() > repeat else phrase
                text += sentence.capitalize() + rng.choice([". ", ". ", "? ", "! ", ".\n", ".\n\n", "\n", "... "])
            texts.append(text)
    return texts


SYLLABLES = "ba co di fe ga hu in jo ka le mi no or pu qua re si ta un ver wo ex yl ze".split(" ")
NAMES = ("Mr. Smith", "Dr. J. B. Jones", "Johann S. Bach", "the U.S. Senate", "the U.N.", "Prof. Ada K. Lovelace", "St. Petersburg",
         "Washington, D.C.", "Acme Corp.", "Foo Inc.", "Bar Co.", "Ph.D. students", "Gen. Lee", "Sen. Warren", "J. Levine")
ASIDES = ("(see p. 5)", "e.g. this", "at 5 p.m.", "on Jan. 5", "in Sept. 1999", "No. 7", "cf. fig. 3.2", "etc.", "a.k.a. nothing",
          "\"quoted words\"", "'single'", "“curly words”", "‘inner’", "well-known", "and/or", "it's", "don't", "they'll", "cannot",
          "gonna", "$3.88", "1,000.5", "50%", "e-mail me@x.org", "http://x.org/a.b", "-- that is --", "... well", "#1", "[12]", "naïve")


def prose(seed, count):
    """Long texts of which about half pass the rules: many different words, abbreviations, quotes, lines and lists."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        vocabulary = ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(40, 400))]
        vocabulary += "the be to of and that have with a in is it for on as".split(" ") * rng.randint(1, 8)
        ending = [". "] * 6 + ["? ", "! ", ".\n", ".\n", ".\n\n", ".\" ", ".) ", "... ", ".”\n", ".'\n", "\n"][:rng.randint(0, 11)]
        text = ""
        for _ in range(rng.randint(4, 25)):
            words = [rng.choice(vocabulary) for _ in range(rng.randint(3, 16))]
            if rng.random() < 0.35:
                words.insert(rng.randint(0, len(words)), rng.choice(NAMES))
            if rng.random() < 0.35:
                words.insert(rng.randint(0, len(words)), rng.choice(ASIDES))
            sentence = " ".join(words)
            text += (sentence[0].upper() + sentence[1:] if rng.random() < 0.9 else sentence) + rng.choice(ending)
            if rng.random() < 0.04:
                text += rng.choice(SENTENCES) + rng.choice(["\n", " "])
        texts.append(text + rng.choice(["", "", "\n", " "]))
    return texts


def corpus_texts(folder, limit, every):
    """The texts of every n-th record of a JSONL file, or of the *.jsonl files of a folder."""
    texts, number = [], 0
    for path in [folder] if os.path.isfile(folder) else sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        for line in open(path, encoding="utf-8"):
            number += 1
            if (number - 1) % every:
                continue
            record = json.loads(line)
            if isinstance(record.get("text"), str):
                texts.append(record["text"])
            if len(texts) == limit:
                return texts
    return texts


# ---- curate's decisions --------------------------------------------------------------------------------------------------

def run_curate(program, texts, steps):
    """[[reason] or ["", new text]] for each text; the reason has its step in front when there are several steps."""
    import pyarrow as pa
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "in.jsonl")
        with open(source, "w", encoding="utf-8") as out:
            for i, text in enumerate(texts):
                out.write(json.dumps({"id": str(i), "text": text}) + "\n")
        config = os.path.join(folder, "config.yaml")
        with open(config, "w") as out:
            json.dump({"input": [source], "output": os.path.join(folder, "out"),
                       "steps": [{name: options} for name, options in steps]}, out)
        subprocess.run([program, "run", "--config", config, "--quiet"], check=True)
        decisions = [["missing"]] * len(texts)
        for kind in ("kept", "dropped"):
            for entry in os.scandir(os.path.join(folder, "out", kind)):
                for line in pa.input_stream(entry.path, compression="zstd").read().decode().split("\n"):
                    if not line:
                        continue
                    record = json.loads(line)
                    i = int(record["id"])
                    if kind == "kept":
                        decisions[i] = [""] + ([record["text"]] if record["text"] != texts[i] else [])
                    else:
                        drop = record["hornbook"]
                        decisions[i] = [(drop["step"] + ": " if len(steps) > 1 else "") + drop["reason"]]
        return decisions
