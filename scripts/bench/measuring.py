"""What measurements share: which texts, whose processor time, and the model as the peers read it."""
import json, os, resource, subprocess


def cpu():
    """Processor seconds of this process and of those it has waited for."""
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def first(documents, megabytes):
    """The first texts of about so many megabytes, and their bytes."""
    texts, size = [], 0
    for text in documents:
        if size >= megabytes * 1e6:
            break
        texts.append(text)
        size += len(text.encode())
    return texts, size


def texts_of(paths):
    """The text of each record of JSONL files."""
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def write_records(path, texts):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)


def model_folder(lora, model, folder, dtype="float32"):
    """The model as a Hugging Face folder inside `folder`, made with `lora convert`."""
    made = os.path.join(folder, "hf")
    subprocess.run([lora, "convert", model, "--output", made, "--dtype", dtype, "--quiet"], check=True)
    return made
