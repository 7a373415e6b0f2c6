#!/usr/bin/env python3
"""Rendering chat templates: our Jinja against Jinja2 as transformers sets it up, both compiled once, one thread, interleaved.

    build/venv/bin/python scripts/bench/chat_templates.py build/release/bin/jinja_render

For each template and conversation, the least time of one rendering on each side over five rounds, and their ratio. Ours
includes turning the JSON of the messages into values. Only templates that render the conversation are timed.
"""
import os, statistics, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "oracle"))
import chat_templates as oracle

NAMED = ["smollm2", "trl/llama3.jinja", "trl/qwen3.jinja", "llama-cpp-python/meta-llama-Llama-3.1-8B-Instruct.jinja"]


def least(render, context, rounds):
    best = 1e9
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(20):
            render(**context)
        best = min(best, (time.perf_counter() - begin) / 20)
    return best


def main(program):
    ours, all_templates = oracle.Ours(program), oracle.templates()
    ratios = {}
    for name, text in sorted(all_templates.items()):
        for title, arguments in oracle.conversations():
            context = oracle.context_of(arguments)
            expected, got = oracle.theirs(text, context), ours.render(text, context)
            if expected[0] != "text" or got != expected:
                continue
            compiled = oracle.peer._compile_jinja_template(text)
            theirs_seconds = ours_seconds = 1e9
            for _ in range(5):
                theirs_seconds = min(theirs_seconds, least(compiled.render, context, 1))
                ours_seconds = min(ours_seconds, ours.ask(text, context, repeat=2)["seconds"])
            ratios.setdefault(name, []).append((theirs_seconds / ours_seconds, title, theirs_seconds, ours_seconds))
    for name in sorted(ratios):
        values = sorted(ratios[name])
        if name in NAMED:
            for ratio, title, theirs_seconds, ours_seconds in values:
                print(f"{name} / {title}: {theirs_seconds * 1e6:.1f} us, ours {ours_seconds * 1e6:.2f} us, {ratio:.0f}x")
    each = [ratio for values in ratios.values() for ratio, *_ in values]
    worst = sorted((min(values), name) for name, values in ratios.items())[:10]
    for (ratio, title, theirs_seconds, ours_seconds), name in worst:
        print(f"least: {name} / {title}: {theirs_seconds * 1e6:.1f} us, ours {ours_seconds * 1e6:.2f} us, {ratio:.1f}x")
    print(f"{len(ratios)} templates, {len(each)} renderings: median {statistics.median(each):.0f}x, least {min(each):.1f}x, "
          f"{sum(r < 20 for r in each)} below 20x")


if __name__ == "__main__":
    main(sys.argv[1])
