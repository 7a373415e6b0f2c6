#!/usr/bin/env python3
"""Real question/answer pairs for supervised fine-tuning, from Debian packages only (needs make_corpus.py beside it).
Raw instruction data (Alpaca's fields); `curate instruct` makes chat records of it.

  make_sft.py OUT.jsonl [CACHE]"""

import sys, re, json, gzip, os
import make_corpus as mc

out, cache = sys.argv[1], (sys.argv[2:] or ['cache'])[0]
os.makedirs(cache, exist_ok=True)
R = []


def add(q, a, src, lic, path):
    q, a = re.sub(r'\s+', ' ', q).strip(), a.strip()
    if 8 <= len(q) <= 300 and 60 <= len(a) <= 6000:
        R.append(dict(id=mc.sha1(src + path + q)[:16], instruction=q, input='', output=a, source=src, licence=lic, path=path))


def files(pkg, rx):
    f, _ = mc.fetch(dict(deb=pkg), cache, False)
    for p, rd in mc.members(f):
        if re.search(rx, p):
            b = rd()
            yield p, gzip.decompress(b) if p.endswith('.gz') else b


for p, b in files('perl-doc', r'pod/perlfaq[1-9]\.pod$'):
    t = mc.decode(b)
    for m in re.finditer(r'^=head2\s+([^\n]*\?[^\n]*)\n(.*?)(?=^=head|\Z)', t, re.M | re.S):
        add(
            mc.f_pod(m.group(1).encode()),
            mc.f_pod(re.sub(r'X<[^>]*>', '', m.group(2)).encode()),
            'perlfaq',
            'Artistic or GPL-1+',
            p,
        )
for p, b in files('python3.11-doc', r'_sources/faq/.*\.rst\.txt$'):
    L = mc.decode(b)
    for m in re.finditer(r'^([^\n]+\?)\n[-=~^]{5,}\n(.*?)(?=^\S[^\n]*\n[-=~^]{5,}\n|\Z)', L, re.M | re.S):
        a = re.sub(r':\w+(?::\w+)?:`([^`<]*?)(?:\s*<[^`]*>)?`', r'\1', m.group(2))
        a = re.sub(r'^\.\. .*$', '', a, flags=re.M)
        add(m.group(1).replace('``', ''), re.sub(r'``', '`', a), 'python-faq', 'PSF-2.0', p)
for p, b in files('git-doc', r'git-doc/gitfaq\.txt'):
    for m in re.finditer(
        r'^\[\[[^\]]*\]\]\n([^\n]+\?)::\n(.*?)(?=^\[\[|^\w[^\n]*\n-{4,}|\Z)', mc.decode(b), re.M | re.S
    ):
        add(m.group(1), re.sub(r'^\+$', '', m.group(2), flags=re.M), 'gitfaq', 'GPL-2', p)
for p, b in files('debian-faq', r'FAQ/[^/]+\.en\.html$'):
    h = mc.decode(b)
    for m in re.finditer(r'<h2[^>]*>(.*?)</h2>(.*?)(?=<h2|<div class="navfooter"|\Z)', h, re.S):
        q = mc.f_html(m.group(1).encode())
        q = re.sub(r'^[\d.\s]+', '', q)
        if '?' in q:
            add(q, mc.f_html(m.group(2).encode()), 'debian-faq', 'GPL-2+', p)
for p, b in files('gnome-user-docs', r'help/C/gnome-help/[^/]+\.page$'):
    x = mc.decode(b)
    m = re.search(r'</info>\s*(?:<!--.*?-->\s*)*<title>(.*?)</title>(.*)</page>', x, re.S)
    if m and '<steps>' in m.group(2):
        add(
            'How do I do this in GNOME: ' + mc.f_xml(m.group(1).encode()) + '?',
            mc.f_xml(m.group(2).encode()),
            'gnome-help',
            'CC-BY-SA-3.0',
            p,
        )
for p, b in files('postgresql-doc-15', r'html/(?:sql|app)-?[a-z-]+\.html$'):
    h = mc.decode(b)
    m = re.search(r'class="refnamediv".*?<p>(.*?)</p>', h, re.S)
    s = re.search(r'(?:SYNOPSIS|Synopsis)</h2>(.*?)<div class="refsect1"', h, re.S)
    d = re.search(r'Description</h2>(.*?)<div class="refsect1"', h, re.S)
    if m and d:
        n = mc.f_html(m.group(1).encode())
        k = n.split('—')
        if len(k) == 2:
            add(
                f'What does PostgreSQL\'s {k[0].strip()} do, and how is it used?',
                n
                + '\n\n'
                + (mc.f_html(s.group(1).encode()) + '\n\n' if s else '')
                + mc.f_html(d.group(1).encode())[:3500],
                'postgres-ref',
                'PostgreSQL',
                p,
            )
R.sort(key=lambda r: r['id'])
with open(out, 'w', encoding='utf-8') as w:
    for r in R:
        w.write(json.dumps(r, ensure_ascii=False) + '\n')
print(f'{len(R)} question/answer pairs from {len(set(r["source"] for r in R))} sources -> {out}')
