#!/usr/bin/env python3
"""What transformers' logits processors leave of some logits -> tests/golden/finetune/sampling.json
    build/venv/bin/python scripts/oracle/sampling.py"""
import json
import pathlib

import torch
import transformers
from transformers import (LogitsProcessorList, MinPLogitsWarper, NoRepeatNGramLogitsProcessor,
                          RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

torch.manual_seed(5)
logits = [round(x, 4) for x in (torch.randn(300) * 3).tolist()]
text = torch.randint(0, 300, (40,)).tolist()
text += text[3:6] + [17] + text[20:22]  # so that a pair at the end stood before
likely = sorted(range(300), key=lambda i: -logits[i])
text[0], text[1], text[22] = likely[0], likely[2], likely[1]  # the penalties must reach the top

CASES = [{}, {"temperature": 0.7}, {"temperature": 1.6}, {"top_k": 1}, {"top_k": 13}, {"top_p": 0.5}, {"top_p": 0.95},
         {"min_p": 0.05}, {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8}, {"no_repeat_ngram_size": 2},
         {"no_repeat_ngram_size": 3}, {"temperature": 0.6, "top_k": 40, "top_p": 0.9},
         {"temperature": 1.2, "top_k": 50, "top_p": 0.8, "min_p": 0.02, "repetition_penalty": 1.15,
          "no_repeat_ngram_size": 3}]


def penalties(settings):
    made = LogitsProcessorList()
    if "repetition_penalty" in settings:
        made.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if "no_repeat_ngram_size" in settings:
        made.append(NoRepeatNGramLogitsProcessor(settings["no_repeat_ngram_size"]))
    return made


def warpers(settings):  # in the order of GenerationMixin._get_logits_processor
    made = LogitsProcessorList()
    for key, kind in (("temperature", TemperatureLogitsWarper), ("top_k", TopKLogitsWarper),
                      ("top_p", TopPLogitsWarper), ("min_p", MinPLogitsWarper)):
        if key in settings:
            made.append(kind(settings[key]))
    return made


cases = []
for settings in CASES:
    ids = torch.tensor([text])
    scores = penalties(settings)(ids, torch.tensor([logits]))
    greedy = int(scores.argmax())
    scores = warpers(settings)(ids, scores)[0]
    kept = torch.nonzero(torch.isfinite(scores)).flatten().tolist()
    probabilities = torch.softmax(scores.double(), 0)
    cases.append({"settings": settings, "greedy": greedy, "ids": kept,
                  "probabilities": [round(float(probabilities[i]), 8) for i in kept]})
golden = {"transformers": transformers.__version__, "torch": torch.__version__, "logits": logits, "text": text,
          "cases": cases}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/finetune/sampling.json"
path.write_text(json.dumps(golden) + "\n")
print(path, len(cases), "cases")
