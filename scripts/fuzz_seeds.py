#!/usr/bin/env python3
"""Corpora to start the fuzzers from, made of real records: FOLDER/records, FOLDER/parquet ... as tests/fuzz/entries.h
wants them, each file with the bytes in front that choose options.

  build/venv/bin/python scripts/fuzz_seeds.py FOLDER RECORDS.jsonl...
  build/fuzz/bin/fuzz_records FOLDER/records -max_total_time=400 -timeout=30
"""
import base64, csv, glob, gzip, io, json, os, random, subprocess, sys, tempfile
import pyarrow, pyarrow.parquet, zstandard

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
folder, files = sys.argv[1], sys.argv[2:]
random.seed(7)


def put(target, data):
    os.makedirs(f'{folder}/{target}', exist_ok=True)
    with open(f'{folder}/{target}/{len(os.listdir(f"{folder}/{target}"))}', 'wb') as file:
        file.write(data)


def contents(path):
    with open(path, 'rb') as file:
        return file.read()


lines = [line for path in files for line in contents(path).split(b'\n') if line]
lines = random.sample(lines, min(700, len(lines)))
for line in lines:
    text = json.loads(line)['text'].encode()
    put('unicode', text[:1500])
    if len(line) < 6000:
        put('json_record', line)
    if len(text) < 16000:
        put('text_rules', text)

short = [line for line in lines if len(line) < 3000]
zstd = zstandard.ZstdCompressor().compress
for _ in range(120):
    some = random.sample(short, random.randint(1, 4))
    records = [json.loads(line) for line in some]
    table = io.StringIO()
    csv.writer(table).writerows([['id', 'text']] + [[i, record['text']] for i, record in enumerate(records)])
    jsonl = b'\n'.join(some) + b'\n'
    texts = '\n\n'.join(record['text'] for record in records).encode()
    for form, data in enumerate([jsonl, b'[' + b',\n'.join(some) + b']', table.getvalue().encode(), texts]):
        packing = random.randrange(4)
        data = zstd(data) if packing == 2 else gzip.compress(data) if packing == 3 else data
        sizes = random.choice([4, 8, 12, 15]) | random.choice([4, 8, 12]) << 4
        put('records', bytes([form | packing << 2 | random.randrange(4) << 4, sizes]) + data)
    for kind, data in (1, zstd(jsonl)), (0, gzip.compress(jsonl)), (1, 2 * zstd(jsonl)), (0, 2 * gzip.compress(jsonl)):
        put('streams', bytes([kind | random.randrange(128) << 1]) + data)
    columns = {
        'text': [record['text'][:400] for record in records],
        'number': list(range(len(records))),
        'list': [[1, 2, i] for i in range(len(records))],
        'struct': [{'a': i, 'b': 'x'} for i in range(len(records))],
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table({name: columns[name] for name in random.sample(list(columns), random.randint(1, 4))}), file,
        compression=random.choice(['none', 'zstd', 'snappy', 'gzip']), use_dictionary=random.random() < 0.5,
        write_page_checksum=random.random() < 0.3, data_page_version=random.choice(['1.0', '2.0']))
    put('parquet', bytes([random.randrange(256)]) + file.getvalue())

for path in glob.glob(f'{root}/tests/golden/**/*.parquet', recursive=True):
    put('parquet', b'\x0f' + contents(path))
for kind, suffix in (0, 'safetensors'), (1, 'gguf'):
    for path in glob.glob(f'{root}/tests/golden/**/*.{suffix}', recursive=True):
        if os.path.getsize(path) < 60000:
            put('tensors', bytes([kind]) + contents(path))
for checksum in b'\x00', b'\x01':
    put('textbook_model', checksum + contents(f'{root}/curate/models/textbook.model'))

# Random tokenizer.json files over the smallest vocabulary, and their maps of characters.
with gzip.open(f'{root}/tests/golden/tokenizer/random_tokenizers.json.gz') as file:
    tokenizers = json.load(file)
maps = tokenizers['maps']
for case in tokenizers['cases'][:150]:
    text = json.dumps({**{key: value for key, value in case['file'].items() if key != 'settings'}, 'model': tokenizers['models']['ties']}).replace('"map 0"', '"map 1"')
    put('vocabulary', b'\x00' + text.replace('"map 1"', json.dumps(maps[1])).encode())
small_map = base64.b64decode(maps[1])
for case in tokenizers['cases'][:50]:
    put('character_map', bytes([len(small_map) // 8]) + small_map[:len(small_map) // 8 * 8] + case['texts'][0].encode())

# Small fastText models, by Debian's program: every loss, with and without n-grams, quantised or not.
with tempfile.TemporaryDirectory() as work:
    with open(f'{work}/train', 'w') as file:
        for i, line in enumerate(short):
            file.write(f'__label__{i % 7} ' + ' '.join(json.loads(line)['text'].split()[:50]) + '\n')
    for loss in 'softmax', 'hs', 'ova':
        for ngrams in '-bucket 0', '-wordNgrams 2 -bucket 300', '-minn 2 -maxn 3 -bucket 300':
            options = f'-input {work}/train -output {work}/model'
            train = f'supervised {options} -dim 4 -epoch 1 -lr 0.05 -minCount 30 -loss {loss} {ngrams}'
            subprocess.run(['fasttext', *train.split(), '-thread', '1'], check=True, capture_output=True)
            put('fasttext_model', b'\x01' + contents(f'{work}/model.bin'))
            quantise = ['fasttext', 'quantize', *options.split(), '-qnorm', '-dsub', '2']
            if subprocess.run(quantise, capture_output=True).returncode == 0:  # too few rows to quantise otherwise
                for expand in b'\x00', b'\x01':
                    put('fasttext_model', expand + contents(f'{work}/model.ftz'))

# Adapters, in a folder as PEFT has them and as a GGUF by our own program, where it is built.
for config in glob.glob(f'{root}/tests/golden/lora/*/adapter_config.json'):
    text, weights = contents(config), f'{os.path.dirname(config)}/adapter_model.safetensors'
    if os.path.exists(weights) and os.path.getsize(weights) < 60000:
        put('folder_adapter', b'\x00' + len(text).to_bytes(2, 'little') + text + contents(weights))
lora = f'{root}/build/release/bin/lora'
with tempfile.TemporaryDirectory() as work:
    for name in ('plain', 'rslora', 'pattern') if os.path.exists(lora) else ():
        golden = f'{root}/tests/golden/lora'
        subprocess.run([lora, 'export', f'{golden}/{name}', '--base', f'{golden}/base', '--output', f'{work}/{name}.gguf'],
                       check=True, capture_output=True)
        put('gguf_adapter', contents(f'{work}/{name}.gguf'))
