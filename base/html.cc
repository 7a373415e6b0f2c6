// HTML pages. Tested by tests/base/text_test.cc, tests/curate/report/report_test.cc and tests/finetune/report_test.cc.
#include "base/html.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace base {
namespace {

const char kStyle[] = R"css(
:root{color-scheme:light dark;--bg:#fcfcfa;--fg:#1d2328;--soft:#68727c;--line:#dfe2e4;--card:#fff;--kept:#2b7a5b;--drop:#b4532a;--bar:#4a78a8;--alarm:#b3261e;--alarmbg:#fdecea}
@media(prefers-color-scheme:dark){:root{--bg:#15191d;--fg:#dfe4e8;--soft:#94a0ab;--line:#2f363d;--card:#1c2228;--kept:#58b48f;--drop:#e08a5f;--bar:#7aa7d6;--alarm:#ff8a80;--alarmbg:#3a1f1d}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1150px;padding:1.2rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}p{margin:.3rem 0}.soft{color:var(--soft)}
.cards{display:flex;flex-wrap:wrap;gap:.7rem;margin:1rem 0}.card{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem}.card b{display:block;font-size:1.4rem;white-space:nowrap}
.scroll{overflow:auto;max-height:30rem;border:1px solid var(--line);border-radius:8px;background:var(--card)}table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap}th{position:sticky;top:0;background:var(--card);color:var(--soft);font-weight:600}th:first-child,td:first-child{text-align:left}tr+tr td{border-top:1px solid var(--line)}td.wide{width:35%;min-width:110px}td.name{white-space:normal;overflow-wrap:anywhere;min-width:8rem}
.note{background:var(--card);border-left:4px solid var(--drop);padding:.3rem .8rem;overflow-wrap:anywhere}
.alarm td{background:var(--alarmbg)}.alarmtext{color:var(--alarm);font-weight:600}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:1rem}.plot{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem}.histogram{position:relative;display:flex;align-items:flex-end;height:120px;gap:1px;border-bottom:1px solid var(--line)}.histogram>i{flex:1;background:var(--bar);min-height:0}.histogram>u{position:absolute;top:0;bottom:0;border-left:2px dashed var(--alarm)}.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.8rem}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:.4rem 0;padding:.3rem .8rem}summary{cursor:pointer}article{border-top:1px solid var(--line);padding:.5rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;max-height:16rem;overflow:auto;font:13px/1.45 ui-monospace,monospace}
.beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:0 1.2rem}.beside section{min-width:0}h3{font-size:.95rem;margin:.6rem 0 .3rem}
)css";

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (static_cast<unsigned char>(c) >= 32 || c == '\n' || c == '\t') {
      out += c;
    }
  }
  return out;
}

std::string html_page(std::string_view title, std::string_view style, std::string_view body) {
  std::string html =
      "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width,initial-scale=1\"><title>";
  html += html_escaped(title) + "</title><style>";
  html.append(kStyle).append(style).append("</style><body>").append(body);
  return html + "</body></html>\n";
}

std::string html_card(std::string_view name, std::string_view value, std::string_view note) {
  return fmt::format("<div class=card>{}<b>{}</b><span class=soft>{}</span></div>", name, value, note);
}

std::string html_histogram(const std::string& title, const std::vector<std::uint64_t>& bins, double threshold,
                           const std::string& low, const std::string& high, const std::string& note) {
  const std::uint64_t most = std::max<std::uint64_t>(1, *std::max_element(bins.begin(), bins.end()));
  std::string html = "<div class=plot><b>" + title + "</b><div class=histogram>";
  for (const std::uint64_t bin : bins)
    html += fmt::format("<i style=\"height:{:.1f}%\" title=\"{}\"></i>",
                        bin == 0 ? 0 : std::max(1.0, 100 * static_cast<double>(bin) / static_cast<double>(most)),
                        human_count(bin));
  if (threshold >= 0) html += fmt::format("<u style=\"left:{:.1f}%\"></u>", 100 * threshold);
  return html + "</div><div class=axis><span>" + low + "</span><span>" + note + "</span><span>" + high +
         "</span></div></div>";
}

}  // namespace base
