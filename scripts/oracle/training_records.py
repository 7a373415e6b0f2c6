"""Writes tests/golden/finetune/records: the same training records in every format, as pandas, pyarrow and people write them.

    build/venv/bin/python scripts/oracle/training_records.py

chat.{jsonl,json,parquet}                conversations: messages nested, one with a system prompt, columns of null
prompts.{jsonl,json,csv,tsv,parquet}     prompt and completion, with quotes, line ends, commas and other alphabets
VERSION                                  of pyarrow
"""
import csv, json, os
import pyarrow as pa, pyarrow.parquet as pq

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "finetune", "records")
WORDS = ["plain", 'quoted "words", and a comma', "two\nlines", "žluťoučký kůň 中文 😀", "tab\there", " blank at both ends "]


def chats():
    for i, word in enumerate(WORDS * 3):
        messages = [{"role": "user", "content": f"question {i}: {word}"}, {"role": "assistant", "content": f"{word} is answer {i}"}]
        if i % 4 == 0:
            messages.insert(0, {"role": "system", "content": "Be brief."})
        if i % 5 == 0:
            messages += [{"role": "user", "content": "and?"}, {"role": "assistant", "content": "no more"}]
        yield {"id": str(i), "messages": messages}


def prompts():
    for i, word in enumerate(WORDS * 3):
        yield {"id": str(i), "prompt": f"say {i} {word}: ", "completion": f"{word} {i}"}


def write(name, records):
    path = os.path.join(FOLDER, name)
    with open(path + ".jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    with open(path + ".json", "w", encoding="utf-8") as out:
        json.dump(records, out, indent=1)
    columns = {key: [record[key] for record in records] for key in records[0]}
    if "messages" in columns:  # as tables have it whose other rows call tools
        message = pa.struct([("role", pa.string()), ("content", pa.large_string()), ("name", pa.string()), ("tool_calls", pa.list_(pa.string()))])
        columns["messages"] = pa.array(columns["messages"], pa.list_(message))
        columns["tools"] = pa.nulls(len(records), pa.string())
    pq.write_table(pa.table(columns), path + ".parquet", row_group_size=7)


os.makedirs(FOLDER, exist_ok=True)
write("chat", list(chats()))
records = list(prompts())
write("prompts", records)
for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
    with open(os.path.join(FOLDER, "prompts." + suffix), "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, records[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)
open(os.path.join(FOLDER, "VERSION"), "w").write(f"pyarrow {pa.__version__}\n")
